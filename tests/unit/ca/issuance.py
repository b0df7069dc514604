"""From names to chains with the client alone, against a real CA; how challenges are answered is the caller's."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from certd.ca.client import AcmeClient
from certd.model.acme import Authorization, AuthorizationStatus, Chains, Challenge, NewOrder, Order, OrderStatus
from certd.model.clock import SystemClock
from certd.model.identifiers import parse_identifiers
from tests.unit.ca.csr import KEY, make_csr

CLOCK = SystemClock()
Prepare = Callable[[AcmeClient, Authorization], Awaitable[Challenge]]


async def poll(ca: AcmeClient, order: Order, *while_: OrderStatus) -> Order:
    """Ask every 20 ms while the order is in one of these states; the test's own time limit ends it."""
    while order.status in while_:
        await CLOCK.sleep_until(CLOCK.now() + timedelta(milliseconds=20))
        order = await ca.fetch_order(order.url)
    return order


async def first_challenge(_: AcmeClient, authorization: Authorization) -> Challenge:
    """For a CA that validates nothing."""
    return authorization.challenges[0]


async def issue(
    ca: AcmeClient,
    names: Sequence[str],
    key: ec.EllipticCurvePrivateKey = KEY,
    prepare: Prepare = first_challenge,
    **wanted: Any,
) -> tuple[Order, Chains]:
    """The valid order and its chains, alternates and all."""
    order = await ca.new_order(NewOrder(parse_identifiers(names), **wanted))
    for url in order.authorizations:
        authorization = await ca.fetch_authorization(url)
        if authorization.status is AuthorizationStatus.PENDING:
            await ca.answer(await prepare(ca, authorization))
    order = await poll(ca, order, OrderStatus.PENDING)
    assert order.status is OrderStatus.READY, order
    order = await poll(ca, await ca.finalize(order, make_csr(names, key)), OrderStatus.PROCESSING)
    assert order.status is OrderStatus.VALID
    return order, await ca.download(order, alternates=True)
