"""Names that the CA does not accept: told, counted, limited, and nothing of them left behind (invariants 4 and 5)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from certd.issue.ports import Patience
from certd.model.acme import Authorization, AuthorizationStatus, ChallengeStatus, ChallengeType, OrderStatus
from certd.model.errors import CaUnreachable, ChallengeFailed, ConfigError, TryLater
from certd.model.records import OrderState, ScopeKind
from certd.model.steps import Step
from tests.fakes.ca import Fault, problem
from tests.unit.issue.place import Killed, Place, desired, kill_at

HOUR = timedelta(hours=1)


@pytest.fixture
def dead(place: Place) -> Place:
    """The name does not lead here: the CA sees nothing of what is published."""
    place.world.blind = True
    return place


async def test_a_failed_validation_is_told_name_first_with_the_cas_words(dead: Place) -> None:
    with pytest.raises(ChallengeFailed, match=r"^example\.org: nothing right at example\.org") as caught:
        await dead.issue()
    assert "4 of 5 failed validations left" in str(caught.value)
    assert [str(i) for i in dead.progress.have_failed] == ["example.org"]


async def test_a_failed_validation_ends_the_order_and_takes_the_proofs_away(dead: Place) -> None:
    with pytest.raises(ChallengeFailed):
        await dead.issue(None, dead.dns)
    assert await dead.states() == [OrderState.DEAD]
    assert not dead.world.ours


async def test_what_is_still_pending_is_ended_at_the_ca(place: Place) -> None:
    """R38: one of three failed, and the validation of another has not ended."""
    place.world.hides = {"b.test"}
    place.ca.never_ends = {"c.test"}
    with pytest.raises(ChallengeFailed, match=r"^b\.test"):
        await place.issue(desired("a.test", "b.test", "c.test"))
    found = {str(a.identifier): a.status for a in place.ca.authorizations}
    assert found == {
        "a.test": AuthorizationStatus.VALID,
        "b.test": AuthorizationStatus.INVALID,
        "c.test": AuthorizationStatus.DEACTIVATED,
    }
    assert not place.world.ours


async def test_a_ca_that_looks_again_only_when_it_is_asked_to_has_said_no(place: Place) -> None:
    """§8.2, as step-ca does it: the challenge is still pending and has an error; nobody would ever end it."""
    place.ca.never_ends = {"b.test"}
    place.ca.distort["challenge"] = lambda c: (
        replace(c, status=ChallengeStatus.PENDING, error=problem("connection", "nobody answers"))
        if "/2/" in c.url
        else c
    )
    with pytest.raises(ChallengeFailed, match=r"^b\.test: nobody answers") as caught:
        await place.issue(desired("a.test", "b.test"), place.dns)
    assert "4 of 5 failed validations left" in str(caught.value)
    assert await place.states() == [OrderState.DEAD]
    assert not place.world.ours
    assert {a.status for a in place.ca.authorizations if str(a.identifier) == "b.test"} == {
        AuthorizationStatus.DEACTIVATED
    }


async def test_an_invalid_order_that_no_longer_says_its_authorizations(dead: Place) -> None:
    """OpenBao and Vault empty that list: the journal knows them, and the failure counts as any other."""
    dead.ca.distort["order"] = lambda order: (
        replace(order, authorizations=()) if order.status is OrderStatus.INVALID else order
    )
    with pytest.raises(ChallengeFailed, match=r"^example\.org: .*nothing right at example\.org"):
        await dead.issue()
    assert len(dead.ca.orders) == 1


async def test_a_ca_that_is_gone_when_the_rest_is_ended_hides_no_reason_and_keeps_no_proof(dead: Place) -> None:
    """The order is dead whether the CA hears it or not."""
    dead.ca.never_ends = {"c.test"}
    dead.ca.faults.append(Fault("deactivate", CaUnreachable("reset"), times=9))
    with pytest.raises(ChallengeFailed, match=r"^b\.test"):
        await dead.issue(desired("b.test", "c.test"))
    assert not dead.world.ours


async def test_the_sixth_try_at_a_dead_name_within_an_hour_is_not_sent(dead: Place) -> None:
    """The CA allows five an hour; the message says when the oldest of them is an hour old."""
    first = dead.clock.now()
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(ChallengeFailed, match=f"{left} of 5 failed validations left"):
            await dead.issue()
        await dead.clock.sleep_until(dead.clock.now() + timedelta(minutes=1))
    before = dead.ca.requests.copy()
    with pytest.raises(TryLater, match=r"^example\.org: 5 failed validations within an hour") as caught:
        await dead.issue()
    assert dead.ca.requests == before
    assert caught.value.until is not None
    assert first + HOUR <= caught.value.until <= first + HOUR + timedelta(minutes=1)
    await dead.clock.sleep_until(caught.value.until)
    with pytest.raises(ChallengeFailed):
        await dead.issue()


async def test_a_dead_name_stops_every_set_that_it_is_in_and_no_other(dead: Place) -> None:
    for _ in range(5):
        with pytest.raises(ChallengeFailed):
            await dead.issue()
    with pytest.raises(TryLater, match=r"^example\.org"):
        await dead.issue(desired("www.example.org", "example.org"))
    with pytest.raises(ChallengeFailed, match=r"^www\.example\.org"):
        await dead.issue(desired("www.example.org"))


async def test_wildcard_and_apex_count_as_the_same_name(dead: Place) -> None:
    """Both authorizations are for example.org (RFC 8555 §7.1.4), and that is what the CA counts."""
    with pytest.raises(ChallengeFailed, match="3 of 5 failed validations left"):
        await dead.issue(desired("example.org", "*.example.org"), dead.dns)
    assert len(await dead.failures()) == 2


async def test_the_schedule_of_a_dead_name_holds_for_everybody_but_a_person(dead: Place) -> None:
    """1, 10, 100 min, then a day (design 5), each ± 20 %."""
    for minutes in (1, 10, 100, 24 * 60):
        with pytest.raises(ChallengeFailed):
            await dead.issue()
        row = (await dead.scopes())[ScopeKind.IDENTIFIER]
        assert row.blocked_until is not None
        wait = row.blocked_until - row.updated_at
        assert timedelta(minutes=minutes) * 0.8 <= wait <= timedelta(minutes=minutes) * 1.2
        before = dead.ca.requests.copy()
        with pytest.raises(TryLater) as caught:
            await dead.issue(by_person=False)
        assert (caught.value.until, dead.ca.requests) == (row.blocked_until, before)


async def test_a_certificate_that_is_about_to_expire_hurries(place: Place) -> None:
    """Design 5: at most an eighth of what is left, where that is under ten days."""
    generation, _ = await place.issue()
    await place.clock.sleep_until(generation.not_after - timedelta(days=4))
    place.world.blind = True
    for _ in range(4):
        with pytest.raises(ChallengeFailed):
            await place.issue()
    row = (await place.scopes())[ScopeKind.IDENTIFIER]
    assert row.blocked_until is not None
    assert timedelta(hours=9) <= row.blocked_until - row.updated_at <= timedelta(hours=15)


async def test_success_forgets_the_schedule_and_not_what_the_ca_counts(place: Place) -> None:
    place.world.blind = True
    for _ in range(4):
        with pytest.raises(ChallengeFailed):
            await place.issue()
    place.world.blind = False
    await place.issue()
    assert await place.scopes() == {}
    place.world.blind = True
    with pytest.raises(ChallengeFailed, match="0 of 5"):
        await place.issue()


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_kill_while_a_failure_is_recorded_loses_neither_count_nor_proofs(dead: Place, edge: str) -> None:
    kill_at(Step.FAILURE_STORED, edge)
    with pytest.raises(Killed):
        await dead.issue(None, dead.dns)
    with pytest.raises(ChallengeFailed, match="3 of 5"):
        await dead.issue(None, dead.dns)
    assert not dead.world.ours
    assert await dead.on_ledger(lambda ledger: ledger.stray_proofs()) == []


# Nothing to answer with


async def test_a_ca_that_offers_no_allowed_challenge_keeps_nothing_pending(place: Place) -> None:
    """R38, R40: it is told what it offers and what would do; the next run is free to choose."""
    place.ca.offers = (ChallengeType.DNS_01,)
    with pytest.raises(ConfigError, match=r"example\.org: the CA offers dns-01, but only http-01"):
        await place.issue()
    assert place.ca.authorizations[0].status is AuthorizationStatus.DEACTIVATED
    assert await place.states() == [OrderState.DEAD]
    await place.issue(None, place.dns)
    await place.assert_clean(orders=2)


async def test_one_name_without_a_challenge_ends_the_authorizations_of_all(place: Place) -> None:
    place.ca.offers = (ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01)
    with pytest.raises(ConfigError):
        await place.issue(desired("example.org", "*.example.org"), place.webroot, place.dns)
    assert {a.status for a in place.ca.authorizations} == {AuthorizationStatus.DEACTIVATED}
    assert not place.world.ours


async def test_a_challenge_that_failed_before_is_not_chosen(place: Place) -> None:
    """Some CAs leave the authorization pending, for another type to be tried."""

    def with_a_failed_one(a: Authorization) -> Authorization:
        failed = [replace(c, status=ChallengeStatus.INVALID) for c in a.challenges if c.type is ChallengeType.HTTP_01]
        return replace(a, challenges=(*failed, *(c for c in a.challenges if c.type is not ChallengeType.HTTP_01)))

    place.ca.distort["authorization"] = with_a_failed_one
    await place.issue(None, place.webroot, place.dns)
    assert [t for t in place.trace if t.startswith("publish")] == ["publish _acme-challenge.example.org"]


# Waiting


async def test_a_validation_that_does_not_end_is_left_for_later_with_its_proofs(place: Place) -> None:
    """It may end any moment: a proof that is taken away in the middle of it is a failed validation."""
    place.ca.validation_looks = 10_000
    with pytest.raises(TryLater, match="pending") as caught:
        await place.issue(patience=Patience(validation=timedelta(minutes=1)))
    assert caught.value.until is not None
    assert place.world.ours
    place.ca.authorizations[0].looks = 0
    await place.issue()
    await place.assert_clean()


async def test_an_order_that_became_invalid_for_no_reason_given_blames_nobody(place: Place) -> None:
    """No authorization failed, so none is counted; another order is tried, once."""
    place.ca.distort["order"] = lambda order: replace(order, status=OrderStatus.INVALID, error=None)
    with pytest.raises(Exception, match="invalid"):
        await place.issue()
    assert len(place.ca.orders) == 2
    assert await place.failures() == []
    assert not place.world.ours
