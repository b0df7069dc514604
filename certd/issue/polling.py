"""Asking again: never before the CA's own moment, soon at first, more slowly later, and not for ever."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from certd.issue.work import Work
from certd.model.acme import Order, OrderStatus
from certd.model.errors import TryLater

FIRST = timedelta(milliseconds=50)
GROWTH = 1.6
LONGEST = timedelta(seconds=5)


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

    Raises TryLater at *limit*: the order stays in the journal, and the next run goes on with it.
    """
    clock = work.tools.clock
    give_up = clock.now() + limit
    earliest = not_before or order.retry_after
    for pause in pauses():
        moment = max(clock.now() + pause, earliest or clock.now())
        if moment > give_up:
            raise TryLater(
                f"{work.order.name}: the CA has not finished ({order.status.value}); the order is kept",
                until=max(moment, give_up),
                hint="run the same command again: it goes on with this order",
            )
        await clock.sleep_until(moment)
        order = await work.tools.ca.fetch_order(order.url)
        if order.status not in {while_, OrderStatus.UNKNOWN}:
            break
        earliest = order.retry_after
    return order
