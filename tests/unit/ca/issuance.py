"""From names to chains with the client alone, against a real CA; how challenges are answered is the caller's."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from certd.ca.client import AcmeClient
from certd.ca.unreachable import NoncesRefused
from certd.model.acme import Authorization, AuthorizationStatus, Chains, Challenge, NewOrder, Order, OrderStatus
from certd.model.clock import SystemClock
from certd.model.identifiers import parse_identifiers
from tests.unit.ca.csr import KEY, make_csr

CLOCK = SystemClock()
Prepare = Callable[[AcmeClient, Authorization], Awaitable[Challenge]]
P = ParamSpec("P")
T = TypeVar("T")

#: At a CA that refuses half of all nonces, one step of 1024 has ten of them refused. Of a thousand steps more than a
#: dozen do so in one run of 10**10.
USUAL_OUTAGES = 12


@dataclass
class Steps:
    """Makes steps of an issuance, and again if all their nonces were refused, as certd does after an outage."""

    most_outages: int = 0
    outages: int = 0

    async def make(self, step: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                return await step(*args, **kwargs)
            except NoncesRefused:
                self.outages += 1
                if self.outages > self.most_outages:
                    raise


async def poll(ca: AcmeClient, order: Order, *while_: OrderStatus, steps: Steps | None = None) -> Order:
    """Ask every 20 ms while the order is in one of these states; the test's own time limit ends it."""
    steps = steps or Steps()
    while order.status in while_:
        await CLOCK.sleep_until(CLOCK.now() + timedelta(milliseconds=20))
        order = await steps.make(ca.fetch_order, order.url)
    return order


async def first_challenge(_: AcmeClient, authorization: Authorization) -> Challenge:
    """For a CA that validates nothing."""
    return authorization.challenges[0]


async def issue(
    ca: AcmeClient,
    names: Sequence[str],
    key: ec.EllipticCurvePrivateKey = KEY,
    prepare: Prepare = first_challenge,
    steps: Steps | None = None,
    **wanted: Any,
) -> tuple[Order, Chains]:
    """The valid order and its chains, alternates and all."""
    steps = steps or Steps()
    order = await steps.make(ca.new_order, NewOrder(parse_identifiers(names), **wanted))
    for url in order.authorizations:
        await _authorize(ca, url, prepare, steps)
    order = await poll(ca, order, OrderStatus.PENDING, steps=steps)
    assert order.status is OrderStatus.READY, order
    order = await steps.make(ca.finalize, order, make_csr(names, key))
    order = await poll(ca, order, OrderStatus.PROCESSING, steps=steps)
    assert order.status is OrderStatus.VALID
    return order, await steps.make(ca.download, order, alternates=True)


async def _authorize(ca: AcmeClient, url: str, prepare: Prepare, steps: Steps) -> None:
    authorization = await steps.make(ca.fetch_authorization, url)
    if authorization.status is AuthorizationStatus.PENDING:
        await steps.make(ca.answer, await prepare(ca, authorization))
