"""What is kept, what goes, and when: decided by a pure function, done in one commit, once a day."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.ledger import retention
from certd.ledger.ledger import Ledger
from certd.ledger.retention import (
    EndedOrder,
    Prunable,
    Pruned,
    Stock,
    StoredGeneration,
    forget,
    is_due,
    select,
    take_stock,
)
from certd.model.acme import AccountUrl, CertId
from certd.model.errors import StorageError
from certd.model.events import OrderPlaced
from certd.model.identifiers import CertName
from certd.model.keys import KeyId
from certd.model.proofs import ProofState
from certd.model.records import OrderState
from certd.model.steps import Step
from tests.fakes.clock import START, ManualClock
from tests.unit.ledger.samples import (
    ACCOUNT,
    DAY,
    GROUND,
    ISSUER,
    NAME,
    SCOPE,
    failure,
    generation,
    key,
    order,
    placed,
    proof,
    renewal,
    waiting,
)

NOW = START
OTHER = CertName("other.example")
TICK = timedelta(microseconds=1)


def stored(number: int, ends: timedelta = -DAY, name: CertName = NAME) -> StoredGeneration:
    return StoredGeneration(name, number, NOW + ends, CertId(f"{name}.{number}"))


def gone(stock: Stock) -> list[int]:
    return [number for _, number in select(stock, NOW).generations]


def test_the_newest_five_stay_however_old_they_are() -> None:
    """A host that was switched off for three years comes back with all it had."""
    assert gone(Stock([stored(n, -1000 * DAY) for n in range(1, 6)])) == []
    assert gone(Stock([stored(n) for n in (1, 2, 3, 9, 4, 7, 8)])) == [1, 2]


def test_what_has_not_expired_stays_however_many_there_are() -> None:
    """A certificate that is valid can be in use anywhere: with --out, on other hosts."""
    assert gone(Stock([stored(n, DAY * (n % 2)) for n in range(1, 21)])) == [2, 4, 6, 8, 10, 12, 14]
    assert gone(Stock([stored(1, TICK), *(stored(n) for n in range(2, 8))])) == [2]
    assert gone(Stock([stored(1, timedelta(0)), *(stored(n) for n in range(2, 8))])) == [1, 2]


def test_what_a_link_shows_stays() -> None:
    """Files of newer ones could not be written (a full disk, for months): servers read the old ones."""
    assert gone(Stock([stored(n) for n in range(1, 9)], shown={NAME: {2}, OTHER: {3}})) == [1, 3]


def test_what_an_open_order_replaces_stays() -> None:
    assert gone(Stock([stored(n) for n in range(1, 9)], replaced={CertId("example.org.3")})) == [1, 2]


def test_names_are_counted_each_for_itself() -> None:
    stock = Stock([stored(n, name=name) for n in range(1, 7) for name in (NAME, OTHER)])
    assert select(stock, NOW).generations == [(NAME, 1), (OTHER, 1)]


@given(
    numbers=st.sets(st.integers(1, 60), max_size=30),
    alive=st.sets(st.integers(1, 60)),
    shown=st.sets(st.integers(1, 60), max_size=2),
    replaced=st.sets(st.integers(1, 60), max_size=2),
)
def test_whatever_there_is_nothing_needed_goes_and_nothing_unneeded_stays(
    numbers: set[int], alive: set[int], shown: set[int], replaced: set[int]
) -> None:
    stock = Stock(
        [stored(n, DAY if n in alive else -DAY) for n in numbers],
        shown={NAME: shown},
        replaced={CertId(f"example.org.{n}") for n in replaced},
    )
    newest = set(sorted(numbers)[-5:])
    needed = numbers & (newest | alive | shown | replaced)
    prunable = select(stock, NOW)
    assert {number for _, number in prunable.generations} == numbers - needed
    assert prunable.kept.get(NAME, frozenset()) & numbers == needed


@pytest.mark.parametrize(
    ("age", "has_proofs", "goes"),
    [
        (timedelta(0), False, False),
        (90 * DAY, False, False),
        (90 * DAY + TICK, False, True),
        (4000 * DAY, True, False),
        (-DAY, False, False),
    ],
    ids=str,
)
def test_an_ended_order_stays_for_a_season_and_until_its_proofs_are_gone(
    age: timedelta, has_proofs: bool, goes: bool
) -> None:
    """Invariant 5: the row is what withdraws a proof whose provider cannot be opened any more."""
    old = EndedOrder("o", NAME, NOW - age, has_proofs)
    assert list(select(Stock([], [old]), NOW).orders) == ([old] if goes else [])


@pytest.mark.parametrize(
    ("last", "due"),
    [(None, True), (timedelta(0), False), (DAY - TICK, False), (DAY, True), (400 * DAY, True), (-TICK, True)],
    ids=str,
)
async def test_it_is_done_once_a_day(ledger: Ledger, last: timedelta | None, due: bool) -> None:
    """And again after a clock that was ahead when it was done last."""
    if last is not None:
        await forget(ledger, Prunable([], [], {}, NOW - last))
    assert await is_due(ledger, NOW) is due


async def prune(ledger: Ledger, clock: ManualClock) -> Pruned:
    return await forget(ledger, select(await take_stock(ledger, {}), clock.now()))


NOTHING = Pruned(generations=0, orders=0, proofs=0, events=0, failures=0, scopes=0, keys=0)


async def test_a_new_ledger_has_nothing_to_forget(ledger: Ledger, clock: ManualClock) -> None:
    assert await prune(ledger, clock) == NOTHING


async def test_generations_go_with_their_windows_and_their_keys(ledger: Ledger, clock: ManualClock) -> None:
    """A private key that nothing names is only a risk."""
    keys = [key(f"k{n}") for n in range(1, 8)]
    made = [generation(n, key_id=KeyId(f"k{n}"), not_after=START) for n in range(1, 8)]
    await ledger.commit(None, Step.GENERATION_STORED, *GROUND, *keys, *made, *(renewal(n) for n in range(1, 8)))
    await ledger.commit(None, Step.GENERATION_STORED, generation(1, OTHER))
    assert await prune(ledger, clock) == replace(NOTHING, generations=2, keys=2)
    assert [g.number for g in await ledger.generations(NAME)] == [7, 6, 5, 4, 3]
    assert await ledger.renewal(NAME, 2) is None
    assert await ledger.renewal(NAME, 3) == renewal(3)
    assert [row[0] for row in await ledger.rows("SELECT id FROM keys ORDER BY id")] == [
        "account-key",
        "k3",
        "k4",
        "k5",
        "k6",
        "k7",
        "key-1",
    ]
    assert await prune(ledger, clock) == NOTHING


async def test_a_key_that_is_used_again_stays_with_whoever_uses_it(ledger: Ledger, clock: ManualClock) -> None:
    """`key: keep`, rollovers under way, orders that have not ended, accounts that are deactivated."""
    names = ["old-account-key", "next", "kept", "ordered", "failed", "orphan"]
    other = replace(
        ACCOUNT,
        id="account-2",
        url=AccountUrl("https://ca.test/account/2"),
        key_id=KeyId("old-account-key"),
        next_key_id=KeyId("next"),
    )
    await ledger.commit(None, Step.ACCOUNT_KEY_STORED, *GROUND, *(key(n) for n in names), other)
    await ledger.commit(
        None,
        Step.INTENT_STORED,
        *(generation(n, key_id=KeyId("kept"), not_after=START) for n in range(1, 8)),
        order("o1", OTHER, key_id=KeyId("ordered")),
        order("o2", "x.example", key_id=KeyId("failed"), state=OrderState.DEAD),
    )
    assert await prune(ledger, clock) == replace(NOTHING, generations=2, keys=2)
    left = {row[0] for row in await ledger.rows("SELECT id FROM keys")}
    assert left == {"account-key", "old-account-key", "next", "kept", "ordered", "failed"}


async def test_orders_go_with_their_proofs_and_open_ones_never(ledger: Ledger, clock: ManualClock) -> None:
    rows = {
        "done": order("done", "done.example", state=OrderState.DEAD),
        "stuck": order("stuck", "stuck.example", state=OrderState.DEAD),
        "open": placed(order("open", "open.example")),
        "young": order("young", "young.example", state=OrderState.DEAD, created_at=START + 90 * DAY),
    }
    await ledger.commit(None, Step.INTENT_STORED, *GROUND, *rows.values())
    late = [proof(id_, f"p-{id_}", id_, state=ProofState.WITHDRAWN, created_at=START + 80 * DAY) for id_ in rows]
    left = proof("stuck", "p-left", "left")
    await ledger.commit(None, Step.WITHDRAWAL_STORED, *late, left)
    await clock.advance(91 * DAY)
    assert await prune(ledger, clock) == replace(NOTHING, orders=1, proofs=1, keys=0)
    assert {row[0] for row in await ledger.rows("SELECT id FROM orders")} == {"stuck", "open", "young"}
    assert await ledger.stray_proofs() == [left]


async def test_events_failures_and_scopes_go_by_age(ledger: Ledger, clock: ManualClock) -> None:
    """Events outlive a 398-day certificate, failures the longest limit of a CA."""

    async def add(name: str) -> None:
        now = clock.now()
        scope = replace(SCOPE, key=name)
        event = OrderPlaced(name, ISSUER, "https://ca.test/o", "")
        await ledger.commit(
            None,
            Step.FAILURE_STORED,
            waiting(scope, updated_at=now, blocked_until=now + DAY),
            failure(scope, at=now),
            events=[event],
        )

    await add("first")
    await clock.advance(401 * DAY)
    await add("second")
    await clock.advance(7 * DAY)
    await add("third")
    await clock.advance(2 * DAY)
    assert await prune(ledger, clock) == replace(NOTHING, events=1, failures=2, scopes=1)
    assert [document["name"] for _, document in await ledger.events()] == ["second", "third"]
    assert await ledger.failures(replace(SCOPE, key="second"), START) == []
    assert len(await ledger.failures(replace(SCOPE, key="third"), START)) == 1


async def test_a_scope_that_still_waits_stays(ledger: Ledger, clock: ManualClock) -> None:
    """However long ago the CA said so."""
    await ledger.commit(None, Step.FAILURE_STORED, waiting(blocked_until=START + 200 * DAY))
    await clock.advance(100 * DAY)
    assert await prune(ledger, clock) == NOTHING


async def test_ids_of_events_are_never_used_again(ledger: Ledger, clock: ManualClock) -> None:
    """Consumers keep their place by id: a new event must not look like one that was read."""
    await ledger.commit(None, Step.ORDER_STORED, events=[OrderPlaced(NAME, ISSUER, "", "")])
    (before,) = await ledger.events()
    await clock.advance(401 * DAY)
    await prune(ledger, clock)
    await ledger.commit(None, Step.ORDER_STORED, events=[OrderPlaced(NAME, ISSUER, "", "")])
    (after,) = await ledger.events()
    assert after[0] > before[0]


async def test_it_is_all_or_nothing_and_then_tried_again(ledger: Ledger) -> None:
    """An order that got a proof after stock was taken: the ledger refuses, and the day is not marked as done."""
    await ledger.commit(None, Step.INTENT_STORED, *GROUND, key("orphan"), order(state=OrderState.DEAD), proof())
    with pytest.raises(StorageError, match="pruned: refused by the ledger"):
        await forget(ledger, Prunable([], [EndedOrder("order-1", NAME, START)], {}, NOW))
    assert await is_due(ledger, NOW)
    assert (await ledger.key(KeyId("orphan"))) == key("orphan")
    assert await ledger.proofs("order-1") == [proof()]


async def test_stock_is_what_the_ledger_has(ledger: Ledger) -> None:
    await ledger.commit(None, Step.INTENT_STORED, *GROUND, generation(1), generation(2, OTHER, cert_id=None))
    await ledger.commit(None, Step.INTENT_STORED, order("o1", state=OrderState.DEAD), order("o2", "b.example"))
    await ledger.commit(None, Step.INTENT_STORED, order("o3", "c.example", replaces=CertId("aki.1")), proof("o1"))
    stock = await take_stock(ledger, {NAME: {1}})
    end = START + 90 * DAY
    assert set(stock.generations) == {
        StoredGeneration(NAME, 1, end, CertId("aki.1")),
        StoredGeneration(OTHER, 2, end, None),
    }
    assert stock.orders == [EndedOrder("o1", NAME, START, has_proofs=True)]
    assert (stock.shown, stock.replaced) == ({NAME: {1}}, {"aki.1"})


def test_the_numbers_are_those_that_are_documented() -> None:
    assert (retention.GENERATIONS, retention.ENDED_ORDERS, retention.EVENTS) == (5, 90 * DAY, 400 * DAY)
    assert (retention.FAILURES, retention.SCOPES, retention.EVERY) == (8 * DAY, 90 * DAY, DAY)
