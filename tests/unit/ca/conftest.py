"""The fake CA and clients that talk to it; a test ends with a look at what the fake saw go wrong."""

import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from certd.ca.client import AcmeClient, open_ca
from certd.model.clock import Clock
from certd.model.keys import SigningKey
from tests.fakes.clock import LeapingClock
from tests.fakes.signing import FakeKey
from tests.unit.ca.fake_ca import FakeCa, fake_ca
from tests.unit.ca.tls import ApiTls, api_tls


class Connect(Protocol):
    """A client of the fake CA; with *registered* it has an account."""

    def __call__(
        self, *, key: SigningKey | None = ..., registered: bool = ..., clock: Clock | None = ..., **options: Any
    ) -> Awaitable[AcmeClient]: ...


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ApiTls:
    return api_tls(tmp_path_factory.mktemp("api"))


@pytest.fixture
async def fake(tls: ApiTls) -> AsyncIterator[FakeCa]:
    async with fake_ca(tls) as ca:
        yield ca
    assert ca.violations == []


@pytest.fixture
async def connect(fake: FakeCa, tls: ApiTls) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def opened(
            *, key: SigningKey | None = None, registered: bool = True, clock: Clock | None = None, **options: Any
        ) -> AcmeClient:
            settings: dict[str, Any] = {
                "account_url": None,
                "random": random.Random(7),
                "ca_bundle": tls.root,
                "directory": None,
            }
            given = key or FakeKey.make()
            ca = await stack.enter_async_context(
                open_ca(fake.directory_url, key=given, clock=clock or LeapingClock(), **(settings | options))
            )
            if registered:
                await ca.register(terms_agreed=True)
            return ca

        yield opened
