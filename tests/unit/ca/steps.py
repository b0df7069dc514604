"""One call of the client for each kind of request, with what it needs prepared: for tables of endpoints and faults."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from certd.ca.client import AcmeClient
from certd.ca.wire import Signer
from certd.model.acme import Authorization, CertId, Chains, NewOrder, Order, OrderStatus
from certd.model.identifiers import parse_identifiers
from tests.fakes.clock import LeapingClock
from tests.fakes.signing import FakeKey
from tests.unit.ca.conftest import Connect
from tests.unit.ca.csr import make_csr
from tests.unit.ca.fake_ca import FakeCa

ONE = NewOrder(parse_identifiers(["example.org"]))
CERT_ID = CertId("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")


@dataclass
class Steps:
    """A client with an account, an order that is pending, one that is ready, and one that is valid."""

    ca: AcmeClient
    fake: FakeCa
    key: FakeKey
    reconnect: Callable[[], Awaitable[AcmeClient]]
    clock: LeapingClock
    pending: Order
    authorization: Authorization
    ready: Order
    valid: Order
    chains: Chains

    @classmethod
    async def prepare(cls, fake: FakeCa, connect: Connect, **options: Any) -> "Steps":
        clock, key = LeapingClock(), FakeKey.make()

        async def reconnect() -> AcmeClient:
            """A new conversation, as a new process has it; the account's key is the first one again."""
            owner = next(iter(fake.state.jwks))
            fake.state.jwks[owner] = Signer(key).jwk
            return await connect(clock=clock, key=key, **options)

        ca = await connect(clock=clock, key=key, **options)
        valid = await ready_order(ca)
        valid = await ca.finalize(valid, make_csr(["example.org"]))
        while valid.status is not OrderStatus.VALID:
            valid = await ca.fetch_order(valid.url)
        pending = await ca.new_order(ONE)
        authorization = await ca.fetch_authorization(pending.authorizations[0])
        return cls(
            ca,
            fake,
            key,
            reconnect,
            clock,
            pending,
            authorization,
            await ready_order(ca),
            valid,
            await ca.download(valid),
        )

    async def run(self, kind: str) -> object:
        """The call that sends a request of *kind*."""
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "directory": self._directory,
            "newAccount": self.ca.find_account,
            "account": self.ca.fetch_account,
            "keyChange": lambda: self.ca.rollover(FakeKey.make()),
            "newOrder": lambda: self.ca.new_order(ONE),
            "order": lambda: self.ca.fetch_order(self.pending.url),
            "authorization": lambda: self.ca.fetch_authorization(self.authorization.url),
            "challenge": lambda: self.ca.answer(self.authorization.challenges[0]),
            "finalize": lambda: self.ca.finalize(self.ready, make_csr(["example.org"])),
            "certificate": lambda: self.ca.download(self.valid),
            "revokeCert": lambda: self.ca.revoke(self.chains.default.leaf),
            "renewalInfo": lambda: self.ca.renewal_info(CERT_ID),
            "newAuthz": lambda: self.ca.new_authorization(ONE.identifiers[0]),
        }
        return await calls[kind]()

    async def _directory(self) -> object:
        await self.clock.sleep_until(self.clock.now() + timedelta(days=2))
        return await self.ca.directory()


async def ready_order(ca: AcmeClient, wanted: NewOrder = ONE) -> Order:
    """An order whose authorizations are valid."""
    order = await ca.new_order(wanted)
    for url in order.authorizations:
        await ca.answer((await ca.fetch_authorization(url)).challenges[0])
    return await ca.fetch_order(order.url)
