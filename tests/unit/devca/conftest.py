"""A devca, responders and a raw client for each test."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from certd.devca import DevCa, Options
from tests.unit.devca.raw_client import RawClient
from tests.unit.devca.responders import HttpResponder, http_responder

Connect = Callable[[DevCa], RawClient]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`client = connect(ca)`, as often as wanted: each has a key of its own."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http:
        yield lambda ca: RawClient(http, ca.directory_url, ca.trust())


@pytest.fixture
async def web80() -> AsyncIterator[HttpResponder]:
    async with http_responder() as responder:
        yield responder


@pytest.fixture
async def calm(web80: HttpResponder) -> AsyncIterator[DevCa]:
    """A friendly devca that validates at `web80`."""
    async with DevCa.start(Options.friendly(http_port=web80.port)) as ca:
        yield ca


async def a_moment() -> None:
    """Between two looks at something that changes by itself."""
    await asyncio.sleep(0.01)
