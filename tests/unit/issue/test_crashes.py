"""The process ends at any edge of any step; the next run goes on with the same order (invariants 1 to 5, CR1, CR4)."""

import random
from collections.abc import Callable

import pytest

from certd.issue.ports import Publisher
from certd.model.acme import ChallengeType
from certd.model.desired import Desired
from certd.model.steps import Step, set_trap
from tests.unit.issue.place import Killed, Place, desired, kill_at

Methods = tuple[Publisher | ChallengeType, ...]

#: Ways to answer: files in a webroot, records at a provider, and listeners whose answers are the journal's rows.
WAYS: dict[str, Callable[[Place], Methods]] = {
    "webroot": lambda place: (place.webroot,),
    "listener": lambda _: (ChallengeType.TLS_ALPN_01,),
    "listener and dns": lambda place: (ChallengeType.HTTP_01, place.dns),
}
LOUD = [Step.WITHDRAWAL_FENCED, Step.PROOFS_WITHDRAWN]  # not where the journal is the answer
STEPS = [
    Step.LEDGER_OPENED,
    Step.ACCOUNT_KEY_STORED,
    Step.ACCOUNT_SENT,
    Step.ACCOUNT_STORED,
    Step.INTENT_STORED,
    Step.ORDER_SENT,
    Step.ORDER_STORED,
    Step.PROOFS_JOURNALLED,
    Step.PROOFS_PUBLISHED,
    Step.CHALLENGES_ANSWERED,
    Step.VALIDATION_SEEN,
    Step.FINALIZE_SENT,
    *LOUD,
    Step.WITHDRAWAL_STORED,
    Step.CERTIFICATE_URL_STORED,
    Step.CHAIN_DOWNLOADED,
    Step.GENERATION_STORED,
    Step.SCOPES_CLEARED,
    Step.FILES_STAGED,
    Step.FILES_RENAMED,
    Step.LIVE_SWITCHED,
    Step.WINDOW_STORED,
]
EDGES = ["before", "after"]


def wish(way: str) -> Desired:
    return desired("example.org", "*.example.org") if way == "listener and dns" else desired()


async def run(place: Place, way: str) -> None:
    await place.bring_up_to_date(wish(way), *WAYS[way](place))


async def killed(place: Place, way: str, step: Step, edge: str) -> bool:
    kill_at(step, edge)
    try:
        await run(place, way)
    except Killed:
        return True
    finally:
        set_trap(None)
    return False


@pytest.mark.parametrize("way", WAYS)
async def test_the_list_of_steps_is_complete(place: Place, way: str) -> None:
    """A step that nobody kills at is a step that nobody has tried."""
    seen: dict[Step, None] = {}
    set_trap(lambda step, _: seen.setdefault(step))
    await run(place, way)
    assert set(seen) == set(STEPS) - (set(LOUD) if way == "listener" else set())


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_kill_at_each_step_costs_nothing(place: Place, way: str, step: Step, edge: str) -> None:
    """One certificate, one order, no stray proof, a whole generation."""
    assert await killed(place, way, step, edge) is not (way == "listener" and step in LOUD)
    await run(place, way)
    await place.assert_clean()


@pytest.mark.parametrize(
    ("step", "edge", "orders"),
    [
        (Step.ORDER_SENT, "before", 1),
        (Step.ORDER_SENT, "after", 2),
        (Step.ORDER_STORED, "before", 2),
        (Step.ORDER_STORED, "after", 1),
    ],
)
async def test_a_lost_order_url_costs_an_order_where_the_ca_reuses_none(
    place: Place, step: Step, edge: str, orders: int
) -> None:
    """Invariant 3: one more order at most, and never a certificate."""
    place.ca.reuses_orders = False
    assert await killed(place, "webroot", step, edge)
    await run(place, "webroot")
    assert len(place.ca.orders) == orders
    await place.assert_clean(orders=orders)


@pytest.mark.parametrize("way", WAYS)
async def test_a_kill_of_the_recovery_itself_costs_nothing(place: Place, way: str) -> None:
    """CR4: two kills in a row, a sample of all pairs; the seed is part of the test."""
    chosen = random.Random(f"double crash {way}")
    for number in range(12):
        here = Place(place.root / str(number))
        here.root.mkdir()
        kills = [(chosen.choice(STEPS), chosen.choice(EDGES)) for _ in range(2)]
        for step, edge in kills:
            await killed(here, way, step, edge)
        await run(here, way)
        await here.assert_clean()
