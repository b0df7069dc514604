"""dns-01 without a CA: proven, published, seen and withdrawn at BIND 9, through DnsPublisher and rfc2136."""

import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from certd.api import ProviderError, SystemClock, Tools
from certd.app.dns_publisher import DnsPublisher
from certd.dns.errors import DnsError
from certd.dns.settings import parse_dns_settings
from certd.model.identifiers import parse_identifier
from certd.model.proofs import Proof
from certd.plugins.discovery import Providers
from certd.plugins.options import Chosen, check
from certd.secrets.references import canonical_reference, resolver
from tests.fakes.publishers import Progress
from tests.flow.conftest import StartBind
from tests.servers.bind import Bind, BindOptions, TsigKey, new_key

NAME = "_acme-challenge.example.test"
ELSEWHERE = "example.validation.test"
PATIENCE = "20s"


def chosen(server: Bind, folder: Path, key: TsigKey | None = None) -> Chosen:
    """--dns rfc2136 with its options, as a person gives them."""
    key = key or server.key
    path = folder / f"{key.name}-{server.port}.secret"
    path.touch(mode=0o600)
    path.write_text(key.secret)
    pairs = [("server", server.server), ("key_name", key.name), ("key_secret", f"file:{path}")]
    return check(Providers.installed().load("rfc2136"), pairs, canonical_reference)


def publisher(
    stack: AsyncExitStack, options: Chosen, *servers: str, timeout: str = PATIENCE, progress: Progress | None = None
) -> DnsPublisher:
    """*servers* as in --dns-server."""
    return DnsPublisher(
        Providers.installed().load(options.provider),
        options,
        tools=Tools(SystemClock(), random.Random(1), resolver({})),
        settings=parse_dns_settings(servers=servers, propagation_timeout=timeout),
        stack=stack,
        progress=progress or Progress(),
    )


async def prove(by: DnsPublisher, *names: str) -> list[Proof]:
    return [await by.prove(parse_identifier(name), f"token-of-{name}.thumbprint") for name in names]


async def test_apex_wildcard_and_a_name_below_go_all_the_way(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    server = await start_bind()
    by = publisher(stack, chosen(server, tmp_path), f"example.test={server.server}")
    before = await server.contents("example.test")
    proofs = await prove(by, "example.test", "*.example.test", "www.example.test")
    assert await server.contents("example.test") == before  # proving changes nothing
    await by.publish(proofs)
    await by.wait_until_visible(proofs)

    assert await server.txt(NAME) == {proofs[0].value, proofs[1].value}
    assert await server.txt("_acme-challenge.www.example.test") == {proofs[2].value}
    await by.withdraw(proofs)
    await by.withdraw(proofs)
    assert await server.contents("example.test") == before


async def test_leftovers_and_values_of_others_stay(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    """Invariant 5; and neither they nor another type beside ours keep the values from being seen."""
    server = await start_bind()
    for number in range(30):
        await server.add(NAME, "TXT", f'"left over {number}" "by somebody"')
    await server.add(NAME, "CAA", '0 issue "ca.test"')
    before = await server.contents("example.test")
    by = publisher(stack, chosen(server, tmp_path), f"example.test={server.server}")
    proofs = await prove(by, "example.test")
    await by.publish(proofs)
    await by.wait_until_visible(proofs)
    await by.withdraw(proofs)

    assert await server.contents("example.test") == before


async def test_a_cname_hands_the_challenge_to_a_zone_on_another_server(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    """The key can change nothing in example.test, whose own server does not even know it."""
    parent = await start_bind()
    await parent.add(NAME, "CNAME", "Example.Validation.TEST.")
    delegated = await start_bind(BindOptions(zones=("validation.test",)))
    by = publisher(
        stack,
        chosen(delegated, tmp_path),
        f"example.test={parent.server}",
        f"validation.test={delegated.server}",
    )
    (proof,) = await prove(by, "*.example.test")
    assert (proof.name, proof.zone) == (ELSEWHERE, "validation.test")
    await by.publish([proof])
    await by.wait_until_visible([proof])

    assert await delegated.txt(ELSEWHERE) == {proof.value}
    assert await parent.txt(NAME) == set()
    await by.withdraw([proof])
    assert await delegated.txt(ELSEWHERE) == set()


async def test_a_zone_below_on_the_same_server_is_found(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    """There is no referral to see; an update for the zone above would be refused (NOTZONE or worse)."""
    server = await start_bind(BindOptions(zones=("example.test", "sub.example.test")))
    by = publisher(stack, chosen(server, tmp_path), f"example.test={server.server}")
    (proof,) = await prove(by, "sub.example.test")
    assert proof.zone == "sub.example.test"
    await by.publish([proof])
    await by.wait_until_visible([proof])

    assert await server.txt(proof.name) == {proof.value}


async def test_another_process_withdraws_by_the_words_of_the_journal(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    server = await start_bind()
    by = publisher(stack, chosen(server, tmp_path), f"example.test={server.server}")
    proofs = await prove(by, "example.test", "*.example.test")
    await by.publish(proofs)
    later = publisher(stack, Chosen.from_json("rfc2136", by.options))
    await later.withdraw(proofs[:1])

    assert await server.txt(NAME) == {proofs[1].value}
    assert server.key.secret not in by.options


async def test_a_bad_key_changes_nothing_and_is_told_without_showing_it(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    server, wrong = await start_bind(), new_key()
    by = publisher(stack, chosen(server, tmp_path, wrong), f"example.test={server.server}")
    proofs = await prove(by, "example.test")
    with pytest.raises(ProviderError, match=r"refused the signature \(BADSIG\)") as caught:
        await by.publish(proofs)

    assert not caught.value.retry
    assert wrong.secret not in f"{caught.value!r} {caught.value.hint}"
    assert await server.txt(NAME) == set()


async def test_a_name_that_the_policy_refuses_is_told(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    server = await start_bind(BindOptions(policy=(f"name {NAME}. TXT",)))
    by = publisher(stack, chosen(server, tmp_path), f"example.test={server.server}")
    proofs = await prove(by, "example.test", "www.example.test")
    with pytest.raises(ProviderError, match=r"example\.test: adding 2 TXT values .* REFUSED") as caught:
        await by.publish(proofs)

    assert "update-policy" in caught.value.hint
    assert await server.txt(NAME) == set()


async def test_a_zone_that_the_server_does_not_have_is_told(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    """The provider was pointed at a secondary, or at the wrong company's server."""
    server, other = await start_bind(), await start_bind(BindOptions(zones=("other.test",)))
    by = publisher(stack, chosen(other, tmp_path), f"example.test={server.server}")
    with pytest.raises(ProviderError, match=r"example\.test: adding 1 TXT value .* NOTAUTH") as caught:
        await by.publish(await prove(by, "example.test"))

    assert not caught.value.retry


async def test_one_that_never_follows_is_named_with_what_it_answered(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    primary, secondary = await start_bind(), await start_bind()
    await secondary.add(NAME, "TXT", '"of yesterday"')
    both = [f"example.test={each.server}" for each in (primary, secondary)]
    by = publisher(stack, chosen(primary, tmp_path), *both, timeout="1s")
    proofs = await prove(by, "example.test")
    await by.publish(proofs)
    with pytest.raises(DnsError) as caught:
        await by.wait_until_visible(proofs)

    assert str(caught.value) == (
        "example.test: the TXT records are not visible at every name server after 1 s: "
        f"{secondary.server}: {NAME}: our value is missing, it has 'of yesterday'"
    )
    assert caught.value.retry


async def test_more_values_than_a_datagram_holds_are_seen_over_tcp(
    start_bind: StartBind, tmp_path: Path, stack: AsyncExitStack
) -> None:
    """I37: leftovers of a client that never cleaned up; BIND takes a hundred on one name."""
    server = await start_bind()
    for number in range(60):
        await server.add(NAME, "TXT", f'"{number:043}"')
    by = publisher(stack, chosen(server, tmp_path), f"example.test={server.server}")
    proofs = await prove(by, "example.test")
    await by.publish(proofs)
    await by.wait_until_visible(proofs)
    await by.withdraw(proofs)

    assert len(await server.txt(NAME)) == 60
