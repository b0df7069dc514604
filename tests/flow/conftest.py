"""Fixtures that start real servers: each `start_…` is a function, options in, a running server out.

What a test starts ends with it, the last started first; a test that leaves a process behind fails.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol

import pytest

from tests.servers.bind import Bind, BindOptions, bind
from tests.servers.openbao import OpenBao, OpenBaoOptions, openbao
from tests.servers.pebble import Pebble, PebbleOptions, pebble
from tests.servers.places import new_loopback_address
from tests.servers.step_ca import StepCa, StepCaOptions, step_ca


class StartPebble(Protocol):
    def __call__(self, options: PebbleOptions | None = ...) -> Awaitable[Pebble]: ...


class StartBind(Protocol):
    def __call__(self, options: BindOptions | None = ...) -> Awaitable[Bind]: ...


class StartOpenBao(Protocol):
    def __call__(self, options: OpenBaoOptions | None = ...) -> Awaitable[OpenBao]: ...


class StartStepCa(Protocol):
    def __call__(self, options: StepCaOptions | None = ...) -> Awaitable[StepCa]: ...


class Folders:
    """A new folder under the test's own for each server that it starts."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._count = 0

    def new(self, name: str) -> Path:
        self._count += 1
        made = self._parent / f"{name}-{self._count}"
        made.mkdir()
        return made


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test starts is entered here and ended after it, last started first."""
    async with AsyncExitStack() as entered:
        yield entered


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.fixture
def start_pebble(stack: AsyncExitStack, folders: Folders) -> StartPebble:
    """`ca = await start_pebble(PebbleOptions(nonce_reject=50))`, as often as wanted."""
    return lambda options=None: stack.enter_async_context(pebble(folders.new("pebble"), options))


@pytest.fixture
def start_bind(stack: AsyncExitStack, folders: Folders) -> StartBind:
    """`dns = await start_bind(BindOptions(zones=("example.test", "other.test")))`."""
    return lambda options=None: stack.enter_async_context(bind(folders.new("bind"), options))


@pytest.fixture
def start_openbao(stack: AsyncExitStack, folders: Folders) -> StartOpenBao:
    """`ca = await start_openbao(OpenBaoOptions(challenge_address=loopback_address))`; it comes to ports 80 and 443."""
    return lambda options=None: stack.enter_async_context(openbao(folders.new("openbao"), options))


@pytest.fixture
def start_step_ca(stack: AsyncExitStack, folders: Folders) -> StartStepCa:
    """`ca = await start_step_ca(StepCaOptions(http_port=listener.port))`."""
    return lambda options=None: stack.enter_async_context(step_ca(folders.new("step-ca"), options))


@pytest.fixture
def loopback_address() -> str:
    """One for this test alone, for CAs that only come to ports 80 and 443."""
    return new_loopback_address()


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """A test ends every program that it started."""
    before = _children()
    yield
    left = {pid: name for pid, name in _children().items() if pid not in before}
    assert not left, f"processes left running: {left}"


def _children() -> dict[int, str]:
    found = {}
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ends in this moment, or a child
            for pid in (task / "children").read_text().split():
                found[int(pid)] = Path(f"/proc/{pid}/comm").read_text().strip()
    return found
