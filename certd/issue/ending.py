"""How an order ends otherwise than well: dead in the journal, ended at the CA, its proofs gone (invariant 5).

One that failed is recorded first, because failures count; one that is given up ends at the CA first, because the run
after a crash gives it up again, and no order stays open there that nobody looks after. A dead order's proofs are swept
by the next run.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import replace

from certd.issue.proofs import withdraw_all
from certd.issue.work import Record, Work, each
from certd.model.acme import AuthorizationStatus, Order, OrderStatus
from certd.model.errors import CaError, CaRefused, CertdError
from certd.model.events import IssuanceFailed, OrderAbandoned
from certd.model.records import OrderState
from certd.model.steps import Step, step


class OrderLost(Exception):
    """The order has ended, and another one may be placed, once. `why` is what to raise if that does not help."""

    def __init__(self, why: CertdError) -> None:
        super().__init__(str(why))
        self.why = why


async def end(
    work: Work, why: str, event: OrderAbandoned | IssuanceFailed, *records: Record, pending: Iterable[str] = ()
) -> None:
    """End the order. *pending*: authorizations that no validation may go on for (R38)."""
    dead = replace(work.order, state=OrderState.DEAD, ended_because=why)
    await work.save(dead, Step.FAILURE_STORED, *records, events=[event])
    await each(pending, lambda url: deactivate(work, url))
    await withdraw_all(work)


async def abandon(work: Work, why: str, pending: Iterable[str] | None = None) -> None:
    """Give up an order; *pending* if its authorizations are known, else they are looked up."""
    row = work.order
    await each(await _find_pending(work) if pending is None else pending, lambda url: deactivate(work, url))
    await end(work, why, OrderAbandoned(row.name, row.issuer, row.url or "", why))


async def lost(work: Work, why: str, pending: Iterable[str] = ()) -> OrderLost:
    """End an order that came to nothing without anybody's fault (expired, forgotten by the CA); to be raised."""
    await abandon(work, why, pending)
    return OrderLost(CaError(f"{work.order.name}: {why}"))


async def deactivate(work: Work, url: str) -> None:
    """The CA may have ended it by itself, or be gone: the order is dead all the same."""
    with contextlib.suppress(CaError), step(Step.AUTHORIZATION_ENDED):
        await work.tools.ca.deactivate_authorization(url)


async def one_pending(work: Work, order: Order) -> tuple[str, ...]:
    """Enough to make *order* unusable: one deactivated authorization (RFC 8555 §7.1.6), a pending one if there is."""
    if order.status not in {OrderStatus.PENDING, OrderStatus.READY}:
        return ()
    with contextlib.suppress(CaRefused):
        for url in order.authorizations if order.status is OrderStatus.PENDING else ():
            if (await work.tools.ca.fetch_authorization(url)).status is AuthorizationStatus.PENDING:
                return (url,)
    return order.authorizations[:1]


async def _find_pending(work: Work) -> tuple[str, ...]:
    row = work.order
    here = row.issuer == work.desired.issuer and row.account_id == work.tools.account.id
    if row.state is not OrderState.PLACED or row.url is None or not here:
        return ()
    try:
        return await one_pending(work, await work.tools.ca.fetch_order(row.url))
    except CaError as trouble:
        work.tools.progress.note(f"{row.name}: the order that is given up could not be ended at the CA: {trouble}")
        return ()
