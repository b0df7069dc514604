"""An odd chain is kept aside and downloaded again; nothing is ever bought for it (invariant 3, R34, R35, CA35)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certd.model.acme import Chain, Chains
from certd.model.errors import CaProtocolError, ChainRejected
from certd.model.identifiers import parse_identifiers
from certd.model.records import OrderState
from certd.model.steps import Step
from tests.unit.issue.place import Killed, Place, desired, kill_at
from tests.unit.keys import pki


def stranger(place: Place, **more: object) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    names = parse_identifiers(["example.org"])
    return pki.make_leaf(place.ca.intermediate, key, names=names, **more)  # type: ignore[arg-type]


ODD: dict[str, Callable[[Place, Chain], Chain]] = {
    "another key": lambda place, chain: Chain((stranger(place), *chain.certificates[1:])),
    "wrong order": lambda _, chain: Chain((*chain.certificates[1:], chain.leaf)),
    "unrelated issuer": lambda _, chain: Chain((chain.leaf, pki.make_issuer("Somebody").der)),
    "twice the same": lambda _, chain: Chain((chain.leaf, *chain.certificates[1:], *chain.certificates[1:])),
    "no certificate": lambda _, chain: Chain((b"\x30\x00", *chain.certificates[1:])),
}


def bend(place: Place, how: str, *, times: int = 10_000) -> None:
    left = times

    def bent(chains: Chains) -> Chains:
        nonlocal left
        left -= 1
        return Chains(ODD[how](place, chains.default)) if left >= 0 else chains

    place.ca.distort["certificate"] = bent


@pytest.mark.parametrize("how", ODD)
async def test_an_odd_chain_is_quarantined_told_and_downloaded_again(place: Place, how: str) -> None:
    bend(place, how)
    with pytest.raises(ChainRejected, match=r"^example\.org: the CA's chain was not installed") as caught:
        await place.issue()
    assert await place.states() == [OrderState.QUARANTINED]
    assert not place.world.ours
    assert not (place.root / "live").exists()
    (kept,) = (place.root / "quarantine" / "example.org").iterdir()
    assert str(kept) in caught.value.hint
    assert len(await place.events("ChainQuarantined")) == 1
    for _ in range(2):
        with pytest.raises(ChainRejected):
            await place.issue()
    place.ca.distort.clear()
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["newOrder"] == place.ca.requests["finalize"] == 1


async def test_one_odd_reply_of_a_ca_with_several_front_ends_is_nothing(place: Place) -> None:
    bend(place, "wrong order", times=1)
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["certificate"] == 2


async def test_a_chain_with_anything_but_certificates_in_it_is_treated_alike(place: Place) -> None:
    """R35: the client refuses it before there is a chain, so there is nothing to keep, but it is told."""

    def refuse(_: Chains) -> Chains:
        raise CaProtocolError("certificate: a private key in the chain")

    place.ca.distort["certificate"] = refuse
    with pytest.raises(ChainRejected, match="a private key in the chain"):
        await place.issue()
    assert place.ca.requests["certificate"] == 2
    assert await place.states() == [OrderState.QUARANTINED]
    place.ca.distort.clear()
    await place.issue()
    await place.assert_clean()


@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", [Step.CHAIN_DOWNLOADED, Step.CHAIN_QUARANTINED])
async def test_a_kill_around_the_quarantine_buys_nothing(place: Place, step: Step, edge: str) -> None:
    bend(place, "wrong order")
    kill_at(step, edge)
    with pytest.raises(Killed):
        await place.issue()
    place.ca.distort.clear()
    await place.issue()
    await place.assert_clean()


async def test_a_certificate_that_is_not_valid_yet_is_installed(place: Place) -> None:
    """Design 5: deployment waits for notBefore; issuing is done."""
    place.ca.begins = timedelta(hours=1)
    generation, _ = await place.issue()
    assert generation.not_before > place.clock.now()


async def test_a_preferred_chain_that_is_missing_is_told_and_the_default_taken(place: Place) -> None:
    """R34."""
    await place.issue(desired(preferred_chain="Some Root"))
    assert "no chain from the CA matches 'Some Root'" in "\n".join(place.progress.notes)
    await place.assert_clean()
