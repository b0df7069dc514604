"""Asking again: never before the CA's own moment, soon at first, more slowly later, and not for ever."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from certd.issue.failures import refused
from certd.issue.work import Work
from certd.model.acme import Order, OrderStatus
from certd.model.errors import CaRefused, CaUnreachable, TryLater
from certd.model.problems import Reaction
from certd.plan.scopes import Stage

FIRST = timedelta(milliseconds=50)
GROWTH = 1.6
LONGEST = timedelta(seconds=5)

#: Polls in a row that the CA may fail to answer, and the pause after the first of them, fourfold after the next.
MOST_TROUBLES = 3
TROUBLE = timedelta(seconds=1)


def pauses() -> Iterator[timedelta]:
    """50 ms, growing by 1.6, at most 5 s; about eleven polls in the first half minute."""
    pause = FIRST
    while True:
        yield pause
        pause = min(pause * GROWTH, LONGEST)


async def poll_order(
    work: Work, order: Order, *, while_: OrderStatus, limit: timedelta, not_before: datetime | None = None
) -> Order:
    """Fetch the order until its status is neither *while_* nor unknown.

    Raises TryLater at *limit*, and what the CA's trouble is when it lasts: the order stays in the journal, and the next
    run goes on with it.
    """
    clock = work.tools.clock
    give_up = clock.now() + limit
    earliest, troubles = not_before or order.retry_after, 0
    for pause in pauses():
        moment = max(clock.now() + max(pause, _after(troubles)), earliest or clock.now())
        if moment > give_up:
            raise TryLater(
                f"{work.order.name}: the CA has not finished ({order.status.value}); the order is kept",
                until=max(moment, give_up),
                hint="run the same command again: it goes on with this order",
            )
        await clock.sleep_until(moment)
        try:
            order = await work.tools.ca.fetch_order(order.url)
        except (CaUnreachable, CaRefused) as trouble:
            troubles += 1
            earliest = await _may_pass(work, trouble, troubles, give_up)
            continue
        if order.status not in {while_, OrderStatus.UNKNOWN}:
            break
        earliest, troubles = order.retry_after, 0
    return order


async def fetch_kept(work: Work, order: Order) -> Order:
    """The order's state now; a refusal to show it is recorded, and ends nothing."""
    try:
        return await work.tools.ca.fetch_order(order.url)
    except CaRefused as refusal:
        raise await refused(work, refusal, Stage.ORDER, keep=True) from refusal


def _after(troubles: int) -> timedelta:
    return TROUBLE * 4 ** (troubles - 1) if troubles else timedelta(0)


async def _may_pass(
    work: Work, trouble: CaUnreachable | CaRefused, troubles: int, give_up: datetime
) -> datetime | None:
    """The CA's moment for asking again; raises where asking again soon is of no use.

    A run that leaves at the first 502 takes its listener with it, in the middle of a validation.
    """
    if isinstance(trouble, CaUnreachable):
        if troubles == MOST_TROUBLES:
            raise trouble
        return None
    moment = trouble.problem.retry_after
    passes = trouble.problem.reaction is Reaction.LATER and troubles < MOST_TROUBLES
    if not passes or (moment is not None and moment > give_up):
        raise await refused(work, trouble, Stage.ORDER, keep=True) from trouble
    return moment
