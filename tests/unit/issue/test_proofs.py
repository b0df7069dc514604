"""Proofs in the world while they are needed, and not a moment of ours longer (invariant 5, R36)."""

import asyncio
from datetime import timedelta

import pytest

from certd.issue.ports import Patience
from certd.issue.proofs import proof_id, withdraw
from certd.ledger.ledger import ClaimLost, Ledger
from certd.model.acme import AuthorizationStatus, ChallengeType
from certd.model.errors import CaUnreachable, CertdError, ConfigError, ListenError, ProviderError, TryLater
from certd.model.identifiers import parse_identifiers
from certd.model.proofs import Proof
from certd.model.records import OrderState, ScopeKind
from certd.model.steps import Step, set_trap
from tests.fakes.ca import Fault
from tests.fakes.publishers import FakePublisher, World
from tests.unit.issue.place import Place, desired

FOR_NOW = [ProviderError("the provider says 503", retry=True), TryLater("the provider says 429", until=None)]
FOR_GOOD = [
    ProviderError("bad TSIG key", retry=False),
    ListenError("/srv/www: permission denied"),
    ConfigError("no such zone"),
]
THREE = ("a.test", "b.test", "c.test")


@pytest.mark.parametrize("trouble", [*FOR_NOW, *FOR_GOOD], ids=str)
@pytest.mark.parametrize("when", ["publishing", "waiting"])
async def test_what_was_published_is_withdrawn_when_the_rest_cannot_be(
    place: Place, trouble: CertdError, when: str
) -> None:
    """Nothing was answered, so no validation can be running."""
    if when == "publishing":
        place.dns.broken, place.dns.publishes = trouble, 2
    else:
        place.dns.invisible = trouble
    with pytest.raises(type(trouble), match=str(trouble)):
        await place.issue(desired(*THREE), place.dns)
    assert len([t for t in place.trace if t.startswith("publish")]) >= 2
    assert not place.world.ours
    assert place.ca.requests["challenge"] == 0


@pytest.mark.parametrize("trouble", FOR_NOW, ids=str)
async def test_the_order_is_kept_where_trying_again_can_help(place: Place, trouble: CertdError) -> None:
    place.dns.broken = trouble
    with pytest.raises(type(trouble)):
        await place.issue(None, place.dns)
    assert await place.states() == [OrderState.PLACED]
    place.dns.broken = None
    await place.issue(None, place.dns)
    await place.assert_clean()


@pytest.mark.parametrize("trouble", FOR_GOOD, ids=str)
async def test_the_order_is_ended_where_a_person_must_act_first(place: Place, trouble: CertdError) -> None:
    """R38: nothing stays pending at the CA for somebody who may never come back."""
    place.dns.broken = trouble
    with pytest.raises(type(trouble)):
        await place.issue(desired(*THREE), place.dns)
    assert await place.states() == [OrderState.DEAD]
    assert {a.status for a in place.ca.authorizations} == {AuthorizationStatus.DEACTIVATED}


async def test_a_providers_failure_is_a_zones_and_nobody_elses(place: Place) -> None:
    place.webroot.broken = FOR_NOW[0]
    with pytest.raises(ProviderError):
        await place.issue()
    assert set(await place.scopes()) == {ScopeKind.ZONE}
    before = place.ca.requests.copy()
    with pytest.raises(TryLater, match="503"):
        await place.issue(by_person=False)
    assert place.ca.requests == before


async def test_one_publishers_trouble_withdraws_what_the_other_has_out(place: Place) -> None:
    place.dns.broken = FOR_GOOD[0]
    with pytest.raises(ProviderError):
        await place.issue(desired("example.org", "*.example.org"), place.webroot, place.dns)
    assert not place.world.ours


async def test_proofs_that_are_being_validated_stay_whatever_fails_here(place: Place) -> None:
    """The first run has answered; the second one's provider is down. A validation may be running."""
    place.ca.validation_looks = 10_000
    with pytest.raises(TryLater):
        await place.issue(patience=Patience(validation=timedelta(minutes=1)))
    place.webroot.invisible = FOR_NOW[0]
    with pytest.raises(ProviderError):
        await place.issue()
    assert place.world.ours
    place.webroot.invisible = None
    place.ca.authorizations[0].looks = 0
    await place.issue()
    await place.assert_clean()


async def test_a_lost_reply_to_an_answer_leaves_the_proofs(place: Place) -> None:
    """The CA may be validating."""
    place.ca.faults.append(Fault("challenge", CaUnreachable("reset"), late=True))
    with pytest.raises(CaUnreachable):
        await place.issue()
    assert place.world.ours
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["challenge"] == 1


@pytest.mark.parametrize(
    ("step", "edge"),
    [
        (Step.PROOFS_PUBLISHED, "after"),
        (Step.CHALLENGES_ANSWERED, "before"),
        (Step.CHALLENGES_ANSWERED, "after"),
        (Step.VALIDATION_SEEN, "after"),
        (Step.FINALIZE_SENT, "after"),
        (Step.PROOFS_WITHDRAWN, "before"),
    ],
)
async def test_cancellation_leaves_the_proofs_to_the_journal(place: Place, step: Step, edge: str) -> None:
    """SIGTERM right after a challenge was answered: no `finally` takes a proof away in the middle of a validation."""

    def cancel(which: Step, at: str) -> None:
        if (which, at) == (step, edge):
            raise asyncio.CancelledError

    set_trap(cancel)
    with pytest.raises(asyncio.CancelledError):
        await place.issue(None, place.dns)
    set_trap(None)
    assert place.world.ours
    await place.issue(None, place.dns)
    await place.assert_clean()


async def test_what_cannot_be_withdrawn_stays_in_the_journal_and_fails_nothing(place: Place) -> None:
    place.dns.stuck = ProviderError("the provider says 503", retry=True)
    await place.issue(None, place.dns)
    assert place.world.ours
    assert "withdrawn at the next run" in "\n".join(place.progress.notes)
    place.dns.stuck = None
    await place.issue(None, place.webroot)
    assert not place.world.ours


async def test_one_provider_that_is_stuck_keeps_no_other_from_withdrawing(place: Place) -> None:
    place.webroot.stuck = ListenError("/srv/www: read-only")
    await place.issue(desired("example.org", "*.example.org"), place.webroot, place.dns)
    assert {type_ for type_, _, _ in place.world.ours} == {ChallengeType.HTTP_01}


async def test_a_run_that_lost_its_claim_withdraws_nothing(place: Place) -> None:
    """The fence comes first: whoever took over may be in the middle of a validation."""
    place.ca.validation_looks = 10_000
    with pytest.raises(TryLater):
        await place.issue(None, place.dns, patience=Patience(validation=timedelta(minutes=1)))

    async def late(ledger: Ledger) -> None:
        row = await ledger.open_order(desired().name)
        assert row is not None
        claim = ledger.claim(row.name, row.set_key)
        assert claim is not None
        ledger.release(claim)
        tools = await place.tools(ledger, (place.dns,), Patience())
        with pytest.raises(ClaimLost):
            await withdraw(ledger, tools.publishers, claim, await ledger.proofs(row.id), place.clock.now())

    await place.on_ledger(late)
    assert place.world.ours


def test_a_proof_has_one_row_for_each_publisher_of_it() -> None:
    """A crash makes us journal the same again; another webroot's file is another thing to withdraw."""
    proof = Proof(ChallengeType.HTTP_01, parse_identifiers(["example.org"])[0], "token", "token.thumb")
    first = FakePublisher(World(), ChallengeType.HTTP_01, "webroot", '{"directory":"/srv/a"}')
    second = FakePublisher(World(), ChallengeType.HTTP_01, "webroot", '{"directory":"/srv/b"}')
    ids = {proof_id("order", "https://ca.test/authz/1", p, proof) for p in (first, second, first)}
    assert len(ids) == 2
