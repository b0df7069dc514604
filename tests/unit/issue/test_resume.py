"""An order is gone on with, whatever became of it at the CA while nobody looked (invariant 3)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from certd.ledger.ledger import Ledger
from certd.model.acme import AuthorizationStatus, ChallengeType
from certd.model.errors import CaRefused, CaUnreachable, CertdError, PolicyRefused, TryLater
from certd.model.identifiers import CertName
from certd.model.keys import KeyType, KeyWish
from certd.model.records import OrderState, ScopeKind
from certd.model.steps import Step
from tests.fakes.ca import FakeCa, Fault, refusal
from tests.fakes.publishers import FakePublisher
from tests.unit.issue.place import Killed, Place, desired, kill_at

PLACED = Step.ORDER_STORED
ANSWERED = Step.CHALLENGES_ANSWERED
FINALIZED = Step.FINALIZE_SENT
PAID = Step.CERTIFICATE_URL_STORED


async def kill_after(place: Place, step: Step, *wish: object) -> None:
    kill_at(step, "after")
    with pytest.raises(Killed):
        await place.issue(*wish)  # type: ignore[arg-type]
    place.trace.clear()
    place.ca.requests.clear()


# The journal says PLACED; the CA says …


async def test_pending_is_proven(place: Place) -> None:
    await kill_after(place, PLACED)
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["newOrder"] == 0


async def test_ready_is_finalized(place: Place) -> None:
    await kill_after(place, Step.VALIDATION_SEEN)
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["challenge"] == 0, "its validation came to its end by itself"


async def test_processing_is_waited_for(place: Place) -> None:
    place.ca.issuance_looks = 3
    await kill_after(place, FINALIZED)
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["finalize"] == 0


async def test_valid_is_downloaded(place: Place) -> None:
    await kill_after(place, FINALIZED)
    await place.issue()
    await place.assert_clean()
    assert (place.ca.requests["finalize"], place.ca.requests["certificate"]) == (0, 1)


async def test_proofs_do_not_wait_for_a_ca_that_issues_for_hours(place: Place) -> None:
    """Invariant 5: the authorizations are final, so the proofs go, however long the order is processing."""
    place.ca.issuance_looks = 10_000
    await kill_after(place, FINALIZED)
    assert place.world.ours
    with pytest.raises(TryLater, match="processing"):
        await place.issue()
    assert not place.world.ours
    assert await place.states() == [OrderState.PLACED]


async def test_a_validation_that_failed_while_nobody_looked_counts_and_another_order_follows(place: Place) -> None:
    """Invariant 4: the CA has counted it, too. The dead process is to blame, so the next run just tries again."""
    await kill_after(place, ANSWERED)
    place.world.records.clear()
    place.ca.settle(place.ca.orders[0])
    await place.issue()
    assert await place.states() == [OrderState.DEAD, OrderState.DONE]
    assert [f.problem for f in await place.failures()] == ["unauthorized"]


async def test_failures_of_dead_runs_are_limited_like_all_others(place: Place) -> None:
    """A process that is killed in each validation may not burn more than the five that a CA allows."""
    for _ in range(5):
        await kill_after(place, ANSWERED)
        place.world.records.clear()
        place.ca.settle(place.ca.orders[-1])
    with pytest.raises(TryLater, match="5 failed validations within an hour"):
        await place.issue()
    assert len(place.ca.orders) == 5


@pytest.mark.parametrize(
    "status", [AuthorizationStatus.EXPIRED, AuthorizationStatus.DEACTIVATED, AuthorizationStatus.REVOKED]
)
async def test_an_authorization_that_ended_costs_a_new_order_and_is_no_failed_validation(
    place: Place, status: AuthorizationStatus
) -> None:
    await kill_after(place, PLACED)
    place.ca.authorizations[0].status = status
    await place.issue()
    assert await place.states() == [OrderState.DEAD, OrderState.DONE]
    assert await place.failures() == []


async def test_an_order_that_is_pending_with_an_authorization_that_ended_is_not_waited_for(place: Place) -> None:
    """Some CAs make the order invalid only later."""
    await kill_after(place, PLACED)
    place.ca.distort["authorization"] = lambda a: (
        replace(a, status=AuthorizationStatus.EXPIRED) if a.url.endswith("/1") else a
    )
    await place.issue()
    assert await place.states() == [OrderState.DEAD, OrderState.DONE]


async def test_an_expired_order_costs_a_new_one(place: Place) -> None:
    await kill_after(place, PLACED)
    await place.clock.sleep_until(place.clock.now() + timedelta(days=8))
    await place.issue()
    assert await place.states() == [OrderState.DEAD, OrderState.DONE]


@pytest.mark.parametrize(
    "gone",
    [
        refusal("malformed", "No order for ID 1", 404),
        refusal("", "HTTP 404 with text/html instead of a problem document", 404),
        refusal("malformed", "no such order", 400),
        refusal("unauthorized", "the order is another account's", 403),
    ],
    ids=str,
)
async def test_an_order_that_the_ca_has_lost_costs_a_new_one(place: Place, gone: CaRefused) -> None:
    await kill_after(place, PLACED)
    place.ca.faults.append(Fault("order", gone))
    await place.issue()
    assert len(place.ca.issued) == 1
    assert place.ca.requests["newOrder"] >= 1


@pytest.mark.parametrize(
    ("answer", "error", "scope"),
    [
        (refusal("serverInternal", status=500), TryLater, ScopeKind.ISSUER),
        (refusal("rateLimited", status=429), TryLater, ScopeKind.SET),
        (refusal("", "HTTP 502 and nothing else", 502), TryLater, ScopeKind.ISSUER),
        (refusal("userActionRequired", status=403), CaRefused, ScopeKind.ACCOUNT),
        (refusal("accountDoesNotExist"), CaRefused, ScopeKind.ACCOUNT),
        (refusal("unauthorized", "account is deactivated", 401), CaRefused, ScopeKind.ACCOUNT),
        (refusal("", "HTTP 403 with text/html instead of a problem document", 403), CaRefused, ScopeKind.SET),
        (CaUnreachable("no route"), CaUnreachable, ScopeKind.ISSUER),
    ],
    ids=str,
)
@pytest.mark.parametrize("step", [PLACED, FINALIZED])
async def test_an_order_that_cannot_be_looked_at_is_kept(
    place: Place, answer: CertdError, error: type[Exception], scope: ScopeKind, step: Step
) -> None:
    """It may have been finalized already: giving it up could buy a second certificate."""
    await kill_after(place, step)
    place.ca.faults.append(Fault("order", answer))
    with pytest.raises(error):
        await place.issue()
    assert await place.states() == [OrderState.PLACED]
    assert {kind: row.failures for kind, row in (await place.scopes()).items()} == {scope: 1}
    await place.clock.sleep_until(place.clock.now() + timedelta(hours=1))
    await place.issue()
    await place.assert_clean()


# The journal says ISSUED: paid, and only ever downloaded


async def test_a_paid_certificate_is_downloaded_without_a_look_at_its_order(place: Place) -> None:
    await kill_after(place, PAID)
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests == {"certificate": 1}


async def test_a_paid_certificate_outlives_its_order(place: Place) -> None:
    """Boulder forgets orders after a week, of short-lived ones after hours; certificates stay ninety days."""
    await kill_after(place, PAID)
    place.ca.orders.clear()
    await place.issue()
    assert len(place.ca.issued) == 1
    assert place.ca.requests["newOrder"] == 0


async def test_a_paid_certificate_that_moved_is_found_through_its_order(place: Place) -> None:
    await kill_after(place, PAID)

    async def old_url(ledger: Ledger) -> None:
        row = await ledger.open_order(desired().name)
        assert row is not None
        claim = ledger.claim(row.name, row.set_key)
        await ledger.commit(claim, Step.ORDER_STORED, replace(row, certificate_url="https://ca.test/certificate/old"))

    await place.on_ledger(old_url)
    await place.issue()
    await place.assert_clean()


async def test_a_paid_certificate_that_the_ca_does_not_show_is_not_bought_again(place: Place) -> None:
    await kill_after(place, PAID)
    place.ca.faults.append(Fault("certificate", refusal("malformed", "not found", 404)))
    with pytest.raises(CaRefused, match="not found"):
        await place.issue()
    assert await place.states() == [OrderState.ISSUED]
    await place.issue()
    await place.assert_clean()


@pytest.mark.parametrize("answer", [refusal("serverInternal", status=503), CaUnreachable("reset")], ids=str)
async def test_a_download_that_fails_is_done_by_the_next_run(place: Place, answer: CertdError) -> None:
    place.ca.faults.append(Fault("certificate", answer))
    with pytest.raises((TryLater, CaUnreachable)):
        await place.issue()
    assert not place.world.ours
    await place.issue()
    await place.assert_clean()


async def test_what_the_ca_itself_has_lost_altogether_is_ordered_again(place: Place) -> None:
    """Order and certificate are unknown there (a wiped staging CA): waiting for them would be for ever."""
    await kill_after(place, PAID)
    place.ca.orders.clear()
    place.ca.issued.clear()
    await place.issue()
    assert len(place.ca.issued) == 1


# Something else is wanted now


OTHER_WISHES = {
    "profile": desired(profile="short"),
    "key type": desired(key=KeyWish(KeyType.EC384)),
    "names": desired("example.org", "www.example.org"),
    "CSR": desired(),  # to which one is added
}


@pytest.mark.parametrize("changed", OTHER_WISHES)
async def test_an_open_order_that_is_not_what_is_wanted_now_is_ended(place: Place, changed: str) -> None:
    """R38: nothing of it stays pending at the CA, nor in the world."""
    await kill_after(place, Step.PROOFS_PUBLISHED)
    wish = OTHER_WISHES[changed]
    wish = replace(wish, csr=await place.other_csr()) if changed == "CSR" else wish
    generation, _ = await place.issue(wish)
    assert place.ca.authorizations[0].status is AuthorizationStatus.DEACTIVATED
    assert (generation.set_key, generation.profile) == (wish.set_key, wish.profile)
    assert wish.csr is not None or generation.key_type is wish.key.type
    assert not place.world.ours
    assert len(place.ca.issued) == 1


async def test_an_open_order_at_another_ca_is_left_to_that_ca(place: Place) -> None:
    """From staging to production in one changed option, though staging was in the middle of an order."""
    await kill_after(place, Step.PROOFS_PUBLISHED)
    staging, place.ca = place.ca, FakeCa(place.clock, place.world, place.trace, origin="https://other.test")
    await place.issue(desired(issuer=place.ca.directory.url))
    assert not place.world.ours
    assert staging.requests == {}
    assert len(place.ca.issued) == 1


async def test_a_key_of_another_type_is_not_worth_a_second_certificate_if_the_wish_is_the_same(place: Place) -> None:
    await kill_after(place, FINALIZED, desired(key=KeyWish(KeyType.EC384)))
    generation, _ = await place.issue(desired(key=KeyWish(KeyType.EC384)))
    assert generation.key_type is KeyType.EC384
    assert len(place.ca.issued) == 1


# Proofs of a dead process


async def test_what_another_publisher_left_is_withdrawn_too(place: Place) -> None:
    """The first run had a webroot, the second a listener: token and answer are the same, and the file must go."""
    await kill_after(place, Step.PROOFS_PUBLISHED)
    assert place.world.ours
    await place.issue(None, ChallengeType.HTTP_01)
    await place.assert_clean()


async def test_what_the_same_publisher_left_with_other_options_is_withdrawn_too(place: Place) -> None:
    await kill_after(place, Step.PROOFS_PUBLISHED, None, place.dns)
    other = FakePublisher(place.world, ChallengeType.DNS_01, "dns:fake", '{"zone":"other"}')
    await place.issue(None, place.shelf.put(other))
    await place.assert_clean()


async def test_what_another_type_of_challenge_left_is_withdrawn_too(place: Place) -> None:
    """It was answered: the CA may be validating, so its file stays until the authorization is final."""
    place.ca.validation_looks = 3
    await kill_after(place, ANSWERED)
    await place.issue(None, place.dns)
    await place.assert_clean()


async def test_a_provider_that_is_gone_keeps_its_proofs_in_the_journal(place: Place) -> None:
    await kill_after(place, Step.PROOFS_PUBLISHED, None, place.dns)
    place.shelf.publishers.clear()
    await place.issue(None, place.webroot)
    assert place.world.ours
    assert "dns:fake: no such provider any more" in "\n".join(place.progress.notes)
    place.shelf.put(place.dns)
    await place.issue(None, place.webroot)
    assert not place.world.ours


async def test_a_challenge_that_was_answered_is_not_answered_again(place: Place) -> None:
    place.ca.validation_looks = 3
    await kill_after(place, ANSWERED)
    await place.issue()
    assert place.ca.requests["challenge"] == 0
    await place.assert_clean()


# Two names for one set


async def test_an_open_order_of_another_name_with_the_same_set_is_ended(place: Place) -> None:
    """Two certificates never share an order, and a forgotten one must not be in the way for ever."""
    await kill_after(place, Step.PROOFS_PUBLISHED)
    generation, _ = await place.issue(desired(name=CertName("web")))
    assert generation.name == "web"
    assert not place.world.ours
    assert len(place.ca.orders) == 2


async def test_a_paid_order_of_another_name_with_the_same_set_comes_first(place: Place) -> None:
    await kill_after(place, PAID)
    with pytest.raises((TryLater, PolicyRefused), match=r"example\.org"):
        await place.issue(desired(name=CertName("web")))
    await place.issue()
    await place.issue(desired(name=CertName("web")))
    assert len(place.ca.issued) == 2
