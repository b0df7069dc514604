"""newOrder: what comes back may be an order that exists, somebody else's, or nonsense (R19, R21, invariant 3)."""

from dataclasses import replace

import pytest

from certd.account.change import deactivate
from certd.account.ensure import register_new
from certd.account.ports import AccountWish
from certd.issue.issue import issue
from certd.issue.ports import Patience
from certd.ledger.ledger import Ledger
from certd.model.acme import AuthorizationStatus, NewOrder, OrderStatus
from certd.model.errors import CaContradiction, CaProtocolError, TryLater
from certd.model.identifiers import CertName, parse_identifiers
from certd.model.keys import KeyWish
from certd.model.records import OrderState
from certd.model.steps import Step
from tests.fakes.ca import ISSUER, Fault, refusal
from tests.unit.issue.place import MISSING, Killed, Place, desired, kill_at


async def test_a_pending_order_of_ours_that_was_given_up_is_not_used_again(place: Place) -> None:
    """Boulder hands it out again; its row is dead and its URL stands once in the journal."""
    kill_at(Step.ORDER_STORED, "after")
    with pytest.raises(Killed):
        await place.issue()
    place.ca.faults.append(Fault("order", refusal("malformed", "gone for a moment", 404)))
    await place.issue()
    first, second = place.ca.orders
    assert (first.status, second.status) == (OrderStatus.INVALID, OrderStatus.VALID)
    await place.assert_clean(orders=2)


async def test_a_ready_order_made_by_another_client_is_taken_over_with_our_key(place: Place) -> None:
    """Another client with this account placed it; only finalize knows keys, and finalize is ours."""
    await place.issue()
    url = next(iter(place.ca.accounts))
    place.ca.reuses_authorizations = True
    foreign = place.ca.place(url, NewOrder(parse_identifiers(["example.org"])))
    assert foreign.status is OrderStatus.READY
    await place.issue()
    assert place.ca.issued[-1] is foreign
    await place.assert_clean(certificates=2, orders=2)


@pytest.mark.parametrize("status", [OrderStatus.VALID, OrderStatus.PROCESSING])
async def test_an_order_that_somebody_else_has_finalized_is_refused(place: Place, status: OrderStatus) -> None:
    """Its certificate is for another key: it would lie in quarantine for ever."""
    place.ca.distort["newOrder"] = lambda order: replace(order, status=status, certificate="https://ca.test/c/9")
    with pytest.raises(CaProtocolError, match="newOrder"):
        await place.issue()
    place.ca.distort.clear()
    await place.issue()
    await place.assert_clean()


async def test_an_order_url_stands_once_in_the_journal(place: Place) -> None:
    """A CA that answers with a finished order again and again is not worked with."""
    await place.issue()
    done = place.ca.orders[0]
    place.ca.distort["newOrder"] = lambda order: replace(order, url=done.url)
    with pytest.raises(CaProtocolError, match="has ended"):
        await place.issue()
    assert len(place.ca.issued) == 1


async def test_an_order_for_other_names_is_given_up(place: Place) -> None:
    """R19; the next run is free to try again."""
    place.ca.distort["newOrder"] = lambda order: replace(order, identifiers=frozenset(parse_identifiers(["evil.test"])))
    with pytest.raises(CaProtocolError, match=r"other names \(evil.test\)"):
        await place.issue()
    place.ca.distort.clear()
    await place.issue()
    assert len(place.ca.issued) == 1


async def test_an_order_that_changed_its_names_is_given_up(place: Place) -> None:
    """R19: "SHOULD consider the order invalid"; it must not stand in the way of every later run."""
    kill_at(Step.ORDER_STORED, "after")
    with pytest.raises(Killed):
        await place.issue()
    changed = place.ca.orders[0].url
    place.ca.distort["order"] = lambda order: (
        replace(order, identifiers=frozenset(parse_identifiers(["evil.test"]))) if order.url == changed else order
    )
    with pytest.raises(CaProtocolError, match="other names"):
        await place.issue()
    await place.issue()
    assert len(place.ca.issued) == 1
    assert place.ca.authorizations[0].status is AuthorizationStatus.DEACTIVATED


async def test_authorizations_for_other_names_end_the_order(place: Place) -> None:
    place.ca.distort["authorization"] = lambda a: replace(a, identifier=parse_identifiers(["evil.test"])[0])
    with pytest.raises(CaProtocolError, match=r"other names: evil\.test"):
        await place.issue()
    assert place.ca.orders[0].status is OrderStatus.INVALID
    place.ca.distort.clear()
    await place.issue()
    await place.assert_clean(orders=2)


async def test_an_order_that_contradicts_itself_while_it_is_proven_is_given_up(place: Place) -> None:
    """R19, R22: "SHOULD consider the order invalid"; nothing is paid for yet."""
    place.ca.faults.append(Fault("order", CaContradiction("the CA changed its authorizations")))
    with pytest.raises(CaContradiction):
        await place.issue()
    assert await place.states() == [OrderState.DEAD]
    assert place.ca.orders[0].status is OrderStatus.INVALID
    assert not place.world.ours
    await place.issue()
    await place.assert_clean(orders=2)


@pytest.mark.parametrize("where", ["finalize", "order"])
async def test_an_order_that_contradicts_itself_after_the_csr_is_kept(place: Place, where: str) -> None:
    """It may be paid for."""
    place.ca.issuance_looks = 1
    skip = 1 if where == "order" else 0
    place.ca.faults.append(Fault(where, CaContradiction("the CA changed its finalize URL"), late=True, skip=skip))
    with pytest.raises(CaContradiction):
        await place.issue()
    assert await place.states() == [OrderState.PLACED]
    await place.issue()
    await place.assert_clean()


async def test_a_valid_order_without_a_certificate_url_is_kept(place: Place) -> None:
    place.ca.distort["order"] = lambda order: replace(order, certificate="")
    with pytest.raises(CaProtocolError, match="names no certificate"):
        await place.issue()
    place.ca.distort.clear()
    await place.issue()
    await place.assert_clean()


async def test_a_claimed_name_or_set_is_waited_for(place: Place) -> None:
    """Single flight by name and by identifier set."""

    async def both(ledger: Ledger) -> None:
        tools = await place.tools(ledger, (place.webroot,), Patience())
        held = ledger.claim(CertName("other"), desired().set_key)
        assert held is not None
        with pytest.raises(TryLater, match="another task"):
            await issue(tools, desired(), MISSING, by_person=True)
        ledger.release(held)
        await issue(tools, desired(), MISSING, by_person=True)

    await place.on_ledger(both)
    await place.assert_clean()


# The predecessor (RFC 9773 §5)


async def test_replaces_names_the_predecessor(place: Place) -> None:
    first, _ = await place.issue()
    await place.issue()
    assert [o.wanted.replaces for o in place.ca.orders] == [None, first.cert_id]


async def test_replaces_needs_a_name_in_common(place: Place) -> None:
    await place.issue(desired("a.test", name=CertName("web")))
    await place.issue(desired("b.test", name=CertName("web")))
    assert place.ca.orders[1].wanted.replaces is None


async def test_replaces_needs_the_same_account(place: Place) -> None:
    """Boulder refuses another account's; design 5: only to the issuer and account of the predecessor."""
    await place.issue()

    async def another(ledger: Ledger) -> None:
        (row,) = await ledger.accounts()
        await deactivate(place.account_tools(ledger), row)
        await register_new(place.account_tools(ledger), AccountWish(ISSUER))

    await place.on_ledger(another)
    await place.issue()
    assert place.ca.orders[1].account != place.ca.orders[0].account
    assert place.ca.orders[1].wanted.replaces is None


async def test_replaces_is_what_the_row_says_after_a_crash(place: Place) -> None:
    first, _ = await place.issue()
    kill_at(Step.ORDER_SENT, "before")
    with pytest.raises(Killed):
        await place.issue()
    await place.issue()
    assert place.ca.orders[1].wanted.replaces == first.cert_id is not None


# Keys


async def test_every_generation_has_a_key_of_its_own_unless_it_shall_be_kept(place: Place) -> None:
    generations = [(await place.issue(desired(key=KeyWish(keep=keep))))[0] for keep in (False, False, True, True)]
    first, second, third, fourth = [g.key_id for g in generations]
    assert first != second == third == fourth


async def test_the_key_of_a_revoked_certificate_is_never_kept(place: Place) -> None:
    """Whoever revokes may have lost it, and not every CA remembers that for us."""
    first, _ = await place.issue()
    await place.on_ledger(
        lambda ledger: ledger.commit(None, Step.REVOCATION_STORED, replace(first, revoked_at=place.clock.now()))
    )
    second, _ = await place.issue(desired(key=KeyWish(keep=True)))
    assert first.key_id != second.key_id
    assert "not kept" in "\n".join(place.progress.notes)


async def test_a_given_csr_is_sent_as_it_is_and_its_key_is_nobodys_business(place: Place) -> None:
    csr = await place.other_csr()
    generation, _ = await place.issue(desired(csr=csr))
    assert (generation.csr_given, generation.key_id) == (True, None)
    assert place.ca.issued[0].csr == csr
