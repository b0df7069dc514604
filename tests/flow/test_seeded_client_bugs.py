"""devca is as strict as Pebble: each seeded client bug is refused by both, and by each with the type in the table."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
import pytest_asyncio

from certd.devca import DevCa, Options
from tests.flow.seeded_bugs.place import EAB_KEY, EAB_KID, Place
from tests.flow.seeded_bugs.table import ACCEPTED, BINDINGS, BUGS, Bug
from tests.servers.pebble import PebbleOptions, pebble
from tests.unit.devca.raw_client import Answer, b64
from tests.unit.devca.responders import alpn_responder, dns_responder, http_responder

# One Pebble for all of them: it is started once a module.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@asynccontextmanager
async def _at_devca(*, bindings: bool) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        web80, alpn, dns = await enter(http_responder()), await enter(alpn_responder()), await enter(dns_responder())
        dns.denies = False  # as challtestsrv, which Pebble asks
        options = Options.friendly(
            http_port=web80.port,
            tls_port=alpn.port,
            resolver=dns.address,
            sources=("127.0.0.1", "127.0.0.2", "127.0.0.3"),
            eab_keys={EAB_KID: EAB_KEY} if bindings else {},
            zero_serials=0.5,
        )
        ca = await enter(DevCa.start(options))
        http = await enter(aiohttp.ClientSession())

        async def set_txt(name: str, value: str) -> None:
            dns.txt[name] = [value]

        yield Place(http, ca.directory_url, ca.trust(), web80, alpn, set_txt)


@asynccontextmanager
async def _at_pebble(factory: pytest.TempPathFactory, *, bindings: bool) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        web80, alpn = await enter(http_responder()), await enter(alpn_responder())
        options = PebbleOptions(
            nonce_reject=0,
            authz_reuse=0,
            http_port=web80.port,
            tls_port=alpn.port,
            eab_keys={EAB_KID: b64(EAB_KEY)} if bindings else {},
        )
        ca = await enter(pebble(factory.mktemp("pebble"), options))
        http = await enter(aiohttp.ClientSession())
        yield Place(http, ca.directory_url, ca.trust(), web80, alpn, ca.challtestsrv.set_txt)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devca() -> AsyncIterator[Place]:
    async with _at_devca(bindings=False) as place:
        yield place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devca_with_bindings() -> AsyncIterator[Place]:
    async with _at_devca(bindings=True) as place:
        yield place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pebbles(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with _at_pebble(tmp_path_factory, bindings=False) as place:
        yield place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pebble_with_bindings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with _at_pebble(tmp_path_factory, bindings=True) as place:
        yield place


def _named(bug: Bug) -> str:
    return bug.act.__name__


def _expected_of_pebble(bug: Bug) -> str | None:
    return None if bug.pebble == ACCEPTED else bug.pebble or bug.refusal


async def _refusal(bug: Bug, place: Place) -> str | None:
    """The type of the problem; None where the bug went through."""
    found = await bug.act(place)
    if not isinstance(found, Answer):
        return found
    assert bug.status is None or found.status == bug.status, found.body
    return found.problem


@pytest.mark.parametrize("bug", BUGS, ids=_named)
async def test_devca_refuses(bug: Bug, devca: Place) -> None:
    assert await _refusal(bug, devca) == bug.refusal


@pytest.mark.server("pebble")
@pytest.mark.parametrize("bug", BUGS, ids=_named)
async def test_pebble_refuses(bug: Bug, pebbles: Place) -> None:
    assert await _refusal(bug, pebbles) == _expected_of_pebble(bug)


@pytest.mark.parametrize("bug", BINDINGS, ids=_named)
async def test_devca_refuses_external_bindings(bug: Bug, devca_with_bindings: Place) -> None:
    assert await _refusal(bug, devca_with_bindings) == bug.refusal


@pytest.mark.server("pebble")
@pytest.mark.parametrize("bug", BINDINGS, ids=_named)
async def test_pebble_refuses_external_bindings(bug: Bug, pebble_with_bindings: Place) -> None:
    assert await _refusal(bug, pebble_with_bindings) == _expected_of_pebble(bug)


async def test_every_difference_has_its_reason() -> None:
    assert [_named(each) for each in (*BUGS, *BINDINGS) if bool(each.pebble) != bool(each.why)] == []
    assert len(BUGS) + len(BINDINGS) > 25
