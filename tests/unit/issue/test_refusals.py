"""What the CA refuses: the reaction to each kind, whose failure it is, and what becomes of the order (A1.1, CA39)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from certd.model.acme import AuthorizationStatus, Order, OrderStatus
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable, CertdError, ProviderError, TryLater
from certd.model.identifiers import parse_identifiers
from certd.model.keys import KeyWish
from certd.model.records import OrderState, ScopeKind
from tests.fakes.ca import Fault, problem, refusal
from tests.unit.issue.place import SCOPE_KEYS, Place, desired

# Whose failure it is: kind of problem, where it came, and the scope that waits

AT_ORDER = [
    ("serverInternal", ScopeKind.ISSUER),
    ("rateLimited", ScopeKind.SET),
    ("rejectedIdentifier", ScopeKind.IDENTIFIER),
    ("unsupportedIdentifier", ScopeKind.IDENTIFIER),
    ("caa", ScopeKind.IDENTIFIER),
    ("userActionRequired", ScopeKind.ACCOUNT),
    ("unauthorized", ScopeKind.ACCOUNT),
    ("accountDoesNotExist", ScopeKind.ACCOUNT),
    ("externalAccountRequired", ScopeKind.ACCOUNT),
    ("badSignatureAlgorithm", ScopeKind.ACCOUNT),
    ("malformed", ScopeKind.SET),
    ("invalidProfile", ScopeKind.SET),
    ("alreadyReplaced", ScopeKind.SET),
    ("onionCAARequired", ScopeKind.SET),
    ("x-foo-99", ScopeKind.SET),
]
AT_FINALIZE = [
    ("serverInternal", ScopeKind.ISSUER),
    ("rateLimited", ScopeKind.SET),
    ("badCSR", ScopeKind.SET),
    ("badPublicKey", ScopeKind.SET),
    ("caa", ScopeKind.IDENTIFIER),
    ("unauthorized", ScopeKind.SET),
    ("malformed", ScopeKind.SET),
    ("invalidProfile", ScopeKind.SET),
    ("badSignatureAlgorithm", ScopeKind.ACCOUNT),
    ("userActionRequired", ScopeKind.ACCOUNT),
]
AT_CHALLENGE = [
    ("serverInternal", ScopeKind.ISSUER),
    ("rateLimited", ScopeKind.IDENTIFIER),
    ("malformed", ScopeKind.IDENTIFIER),
    ("unauthorized", ScopeKind.IDENTIFIER),
    ("x-foo-99", ScopeKind.IDENTIFIER),
]


@pytest.mark.parametrize(
    ("where", "kind", "scope"),
    [
        *(("newOrder", kind, scope) for kind, scope in AT_ORDER),
        *(("finalize", kind, scope) for kind, scope in AT_FINALIZE),
        *(("challenge", kind, scope) for kind, scope in AT_CHALLENGE),
    ],
)
async def test_a_refusal_belongs_to_a_scope_and_leaves_no_proof(
    place: Place, where: str, kind: str, scope: ScopeKind
) -> None:
    """One dead name must not hold up an issuer, and one issuer's outage is one wait for all."""
    name = parse_identifiers(["example.org"])[0]
    place.ca.faults.append(Fault(where, refusal(kind, identifier=name), times=9))
    with pytest.raises(CertdError, match=kind):
        await place.issue()
    found = await place.scopes()
    assert set(found) == {scope}
    row = found[scope]
    assert (row.problem, row.firm_until) == (kind, None)
    assert row.blocked_until is not None
    assert timedelta(seconds=48) <= row.blocked_until - row.updated_at <= timedelta(minutes=12)
    assert not place.world.ours
    assert not await place.on_ledger(lambda ledger: ledger.stray_proofs())


async def test_success_clears_what_failed_before(place: Place) -> None:
    for kind in ("serverInternal", "caa", "malformed", "userActionRequired"):
        place.ca.faults.append(Fault("newOrder", refusal(kind, identifier=parse_identifiers(["example.org"])[0])))
        with pytest.raises(CertdError):
            await place.issue()
    place.webroot.broken = ProviderError("the provider says 500", retry=True)
    with pytest.raises(CertdError):
        await place.issue()
    place.webroot.broken = None
    assert set(await place.scopes()) == set(SCOPE_KEYS)
    await place.issue()
    assert await place.scopes() == {}


async def test_each_failed_name_of_a_compound_refusal_has_its_own_scope(place: Place) -> None:
    """R16: one bad name of a hundred is told and waits; the others are free."""
    bad, good = parse_identifiers(["bad.example.org", "example.org"])
    sub = problem("rejectedIdentifier", "bad.example.org is on a list", 0, identifier=bad)
    place.ca.faults.append(Fault("newOrder", refusal("compound", subproblems=(sub,))))
    with pytest.raises(CaRefused, match=r"^bad\.example\.org: .*on a list"):
        await place.issue(desired(str(good), str(bad)))
    assert ScopeKind.IDENTIFIER not in await place.scopes(), "example.org may be ordered"
    with pytest.raises(TryLater, match="on a list"):
        await place.issue(desired(str(bad)), by_person=False)


# LATER


@pytest.mark.parametrize("where", ["newOrder", "authorization", "finalize"])
@pytest.mark.parametrize("kind", ["rateLimited", "serverInternal"])
async def test_the_cas_own_moment_is_kept_and_nothing_is_sent_before_it(place: Place, where: str, kind: str) -> None:
    """R14: not by a person either; and the order lives on."""
    moment = place.clock.now() + timedelta(hours=3)
    place.ca.faults.append(Fault(where, refusal(kind, status=429, retry_after=moment)))
    with pytest.raises(TryLater, match=kind) as caught:
        await place.issue()
    assert caught.value.until == moment
    before = place.ca.requests.total()
    with pytest.raises(TryLater) as again:
        await place.issue()
    assert (again.value.until, place.ca.requests.total()) == (moment, before)
    await place.clock.sleep_until(moment)
    await place.issue()
    await place.assert_clean()


async def test_without_a_moment_the_schedule_says_when(place: Place) -> None:
    """Reliability 4.2: backing off with a reason, and the command exits 75 and says when."""
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        place.ca.faults.append(Fault("newOrder", refusal("serverInternal", status=500)))
        with pytest.raises(TryLater) as caught:
            await place.issue()
        assert caught.value.until is not None
        wait = caught.value.until - place.clock.now()
        assert timedelta(minutes=minutes) * 0.8 <= wait <= timedelta(minutes=minutes) * 1.2
        with pytest.raises(TryLater, match="failures in a row"):
            await place.issue(by_person=False)


@pytest.mark.parametrize("late", [False, True], ids=["refused", "done, and the reply is an error"])
@pytest.mark.parametrize(
    "answer", [refusal("serverInternal", status=500), refusal("", "HTTP 502", 502), CaUnreachable("reset")], ids=str
)
async def test_an_error_of_the_cas_machinery_at_finalize_never_costs_a_second_certificate(
    place: Place, answer: CertdError, late: bool
) -> None:
    """Invariant 3: the front end's 500 says nothing of what stands behind it."""
    place.ca.faults.append(Fault("finalize", answer, late=late))
    with pytest.raises((TryLater, CaUnreachable)):
        await place.issue()
    assert await place.states() == [OrderState.PLACED]
    assert not place.world.ours
    await place.issue()
    await place.assert_clean()


@pytest.mark.parametrize("kind", ["userActionRequired", "externalAccountRequired", "badSignatureAlgorithm"])
async def test_what_is_wrong_with_the_account_does_not_end_its_orders(place: Place, kind: str) -> None:
    """A person agrees to new terms, and all orders go on where they were."""
    place.ca.faults.append(Fault("finalize", refusal(kind, status=403)))
    with pytest.raises(CaRefused, match=kind):
        await place.issue()
    assert await place.states() == [OrderState.PLACED]
    await place.issue()
    await place.assert_clean()


# POLL


async def test_order_not_ready_is_asked_for_again_and_the_csr_sent_again(place: Place) -> None:
    """R32: replicas of a CA lag; no new order is made."""
    place.ca.faults.append(Fault("finalize", refusal("orderNotReady", status=403), times=2))
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["finalize"] == 3


async def test_order_not_ready_because_it_is_processing_is_the_answer_to_a_lost_reply(place: Place) -> None:
    place.ca.issuance_looks = 3
    place.ca.faults.append(Fault("finalize", refusal("orderNotReady", status=403), late=True))
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["finalize"] == 1


async def test_a_ca_that_is_never_ready_is_left_for_later_with_its_order(place: Place) -> None:
    """Within ten requests, and the next run goes on."""
    place.ca.faults.append(Fault("finalize", refusal("orderNotReady", status=403), times=99))
    with pytest.raises(TryLater):
        await place.issue()
    assert place.ca.requests["finalize"] <= 5
    assert await place.states() == [OrderState.PLACED]
    place.ca.faults.clear()
    await place.issue()
    await place.assert_clean()


async def test_a_finalize_reply_that_still_says_ready_is_polled_and_not_sent_again(place: Place) -> None:
    place.ca.distort["finalize"] = lambda order: replace(order, status=OrderStatus.READY)
    await place.issue()
    await place.assert_clean()
    assert place.ca.requests["finalize"] == 1


# NEW_KEY


@pytest.mark.parametrize("kind", ["badCSR", "badPublicKey"])
async def test_a_refused_key_is_changed_once_within_the_same_order(place: Place, kind: str) -> None:
    """R32: the order stays ready, so an amended CSR is possible."""
    place.ca.faults.append(Fault("finalize", refusal(kind)))
    generation, _ = await place.issue()
    await place.assert_clean()
    row = await place.on_ledger(lambda ledger: ledger.order(generation.order_id))
    assert row is not None
    assert row.csr == place.ca.issued[0].csr


@pytest.mark.parametrize("kind", ["badCSR", "badPublicKey"])
async def test_a_second_key_that_is_refused_is_the_end(place: Place, kind: str) -> None:
    place.ca.faults.append(Fault("finalize", refusal(kind), times=9))
    with pytest.raises(CaRefused, match=kind) as caught:
        await place.issue()
    assert "--key-type" in caught.value.hint
    assert place.ca.requests["finalize"] == 2
    assert await place.states() == [OrderState.DEAD]


async def test_a_given_csr_is_never_changed(place: Place) -> None:
    place.ca.faults.append(Fault("finalize", refusal("badCSR"), times=9))
    with pytest.raises(CaRefused, match="badCSR") as caught:
        await place.issue(desired(csr=await place.other_csr()))
    assert "--csr" in caught.value.hint
    assert place.ca.requests["finalize"] == 1


async def test_a_refused_account_key_is_not_mended_by_another_certificate_key(place: Place) -> None:
    """R8: badSignatureAlgorithm is about the signature of the request; no loop."""
    place.ca.faults.append(Fault("finalize", refusal("badSignatureAlgorithm"), times=9))
    with pytest.raises(CaRefused, match="badSignatureAlgorithm"):
        await place.issue()
    assert place.ca.requests["finalize"] == 1


async def test_a_kept_key_that_the_ca_refuses_is_given_up_with_a_note(place: Place) -> None:
    first, _ = await place.issue()
    place.ca.faults.append(Fault("finalize", refusal("badPublicKey")))
    second, _ = await place.issue(desired(key=KeyWish(keep=True)))
    assert first.key_id != second.key_id
    assert "the CA refused the key" in "\n".join(place.progress.notes)


# NEW_ORDER


@pytest.mark.parametrize("where", ["finalize", "challenge", "authorization"])
async def test_malformed_is_tried_once_more_from_a_new_order(place: Place, where: str) -> None:
    place.ca.faults.append(Fault(where, refusal("malformed", "no such thing")))
    await place.issue()
    assert await place.states() == [OrderState.DEAD, OrderState.DONE]
    assert not place.world.ours
    assert "another order" in "\n".join(place.progress.notes)


@pytest.mark.parametrize("where", ["finalize", "challenge", "authorization"])
async def test_malformed_twice_is_the_end(place: Place, where: str) -> None:
    place.ca.faults.append(Fault(where, refusal("malformed", "no such thing"), times=99))
    with pytest.raises(CaRefused, match="no such thing"):
        await place.issue()
    assert len(place.ca.orders) == 2
    assert await place.states() == [OrderState.DEAD, OrderState.DEAD]
    assert not place.world.ours


async def test_a_malformed_new_order_is_not_sent_again(place: Place) -> None:
    place.ca.faults.append(Fault("newOrder", refusal("malformed", "what is this"), times=9))
    with pytest.raises(CaRefused, match="what is this"):
        await place.issue()
    assert place.ca.requests["newOrder"] == 1


# REPAIR, HUMAN


async def test_a_lost_account_is_told_and_the_order_waits_for_its_repair(place: Place) -> None:
    """The app looks the account up and registers once; then the same row is gone on with."""
    place.ca.faults.append(Fault("newOrder", refusal("accountDoesNotExist")))
    with pytest.raises(CaRefused) as caught:
        await place.issue()
    assert caught.value.problem.kind == "accountDoesNotExist"
    await place.issue()
    await place.assert_clean()


async def test_a_paused_name_is_for_a_person(place: Place) -> None:
    text = "example.org is paused; unpause it at https://ca.test/unpause"
    place.ca.faults.append(Fault("newOrder", refusal("rateLimited", text, 429)))
    with pytest.raises(CaRefused, match=r"https://ca\.test/unpause"):
        await place.issue()


# Polls


@pytest.mark.parametrize(
    "trouble", [refusal("serverInternal", status=500), refusal("rateLimited", status=429), CaUnreachable("reset")]
)
@pytest.mark.parametrize("skip", [0, 1], ids=["validating", "issuing"])
async def test_trouble_between_two_polls_ends_no_run(place: Place, trouble: CertdError, skip: int) -> None:
    """The listener must answer while the CA validates: leaving at the first 500 would fail the validation."""
    place.ca.faults.append(Fault("order", trouble, times=2, skip=skip))
    await place.issue()
    assert {timedelta(seconds=1), timedelta(seconds=4)} <= set(place.clock.slept), "time for a CA to come back"
    await place.assert_clean()


async def test_a_ca_that_stays_in_trouble_is_left_for_later(place: Place) -> None:
    place.ca.faults.append(Fault("order", CaUnreachable("reset"), times=99))
    with pytest.raises(CaUnreachable):
        await place.issue()
    assert place.ca.requests["order"] == 3
    place.ca.faults.clear()
    await place.issue()
    await place.assert_clean()


async def test_a_long_retry_after_in_a_poll_is_left_for_later(place: Place) -> None:
    moment = place.clock.now() + timedelta(hours=1)
    place.ca.faults.append(Fault("order", refusal("rateLimited", status=429, retry_after=moment)))
    with pytest.raises(TryLater) as caught:
        await place.issue()
    assert caught.value.until == moment
    await place.clock.sleep_until(moment)
    await place.issue()
    await place.assert_clean()


# What is told


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("newOrder", CaUnreachable("no route to ca.test")),
        ("authorization", CaProtocolError("not JSON")),
        ("finalize", refusal("serverInternal", status=500)),
        ("challenge", refusal("malformed")),
    ],
)
async def test_every_failure_is_told_with_its_scope(place: Place, where: str, error: CertdError) -> None:
    """Invariant 11: what must be told is a row in the commit that made it true."""
    place.ca.faults.append(Fault(where, error, times=9))
    with pytest.raises(CertdError):
        await place.issue()
    told = await place.events("IssuanceFailed")
    assert told
    assert told[-1]["name"] == "example.org"
    assert await place.scopes()


async def test_an_asynchronous_refusal_is_recorded_like_any_other(place: Place) -> None:
    """The order became invalid after finalize, with the reason in its error (§7.1.3)."""
    why = problem("caa", "CAA forbids it", 0, identifier=parse_identifiers(["example.org"])[0])

    def refuse(order: Order) -> Order:
        if not place.ca.requests["finalize"]:
            return order
        place.ca.orders[0].status = OrderStatus.INVALID
        return replace(order, status=OrderStatus.INVALID, error=why, certificate="")

    place.ca.distort["order"] = place.ca.distort["finalize"] = refuse
    with pytest.raises(CaRefused, match="CAA forbids it"):
        await place.issue()
    assert set(await place.scopes()) == {ScopeKind.IDENTIFIER}
    assert await place.states() == [OrderState.DEAD]
    assert await place.failures() == []


async def test_nothing_is_left_pending_when_an_answer_is_refused(place: Place) -> None:
    """R36, R38: the proofs of all names go, and so do their authorizations."""
    place.ca.faults.append(Fault("challenge", refusal("unauthorized", "not you", 403), skip=1, times=9))
    with pytest.raises(CaRefused, match="not you"):
        await place.issue(desired("a.test", "b.test", "c.test"), place.dns)
    assert not place.world.ours
    assert {a.status for a in place.ca.authorizations} == {AuthorizationStatus.DEACTIVATED}
    assert await place.on_ledger(lambda ledger: ledger.stray_proofs()) == []


async def test_a_refused_answer_to_what_was_answered_before_is_none(place: Place) -> None:
    """The reply was lost and the client asked twice; Boulder refuses the second answer of a final authorization."""
    place.ca.faults.append(Fault("challenge", refusal("malformed", "authorization must be pending"), late=True))
    await place.issue()
    await place.assert_clean()
