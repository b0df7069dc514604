"""Programs that a test starts and ends: ports, waiting until they answer, logs, and an end by handle.

Never by name, and never without a deadline: whatever starts here is gone when its `async with` block is left, and where
`setpriv` exists the kernel ends it as well when the test run itself is killed.
"""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
import dns.exception

LOOPBACK = "127.0.0.1"
START_LIMIT = 20.0  # seconds; a server that needs longer says so
STOP_LIMIT = 5.0
POLL = 0.02
TRIES = 4  # a port that was free a moment ago can be taken: start again on other ports

_LOWEST_PORT = 10_000
_USUAL_FIRST = 32_768  # of those that the kernel gives to who asks for any
_ports = itertools.count(os.getpid() * 997)

PORT_TAKEN = ("address already in use", "address in use", "eaddrinuse")

T = TypeVar("T")
Probe = Callable[[], Awaitable[bool]]  # True once the server answers; network errors and TimeoutError mean "not yet"


class ServerDidNotStart(Exception):
    """The program ended early or did not answer in time; the end of its log is in the message."""


@dataclass(slots=True)
class Log:
    """What a program printed. `running` programs' logs are shown when a test fails."""

    program: str
    path: Path

    def text(self) -> str:
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.text().splitlines()[-lines:])


@dataclass(slots=True)
class Running:
    """A started program."""

    process: subprocess.Popen[bytes]
    log: Log

    @property
    def pid(self) -> int:
        return self.process.pid

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Program:
    """How to start one: argv, further environment, the folder to run in, where its log goes."""

    name: str
    argv: Sequence[str | os.PathLike[str]]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


logs: list[Log] = []  # of the programs now running, for `tests/conftest.py` to show


def free_ports(count: int, address: str = LOOPBACK, kinds: Sequence[int] = (socket.SOCK_STREAM,)) -> list[int]:
    """Ports of *address* that nobody holds now, each free for all of *kinds* (DNS needs TCP and UDP).

    The kernel gives them to nobody (whose sockets, by the hundred, ask for any port), and each test process has its
    own run of them. Someone else can still take one before the program does: start through `enter_on_free_ports`.
    """
    found: list[int] = []
    first = _first_port_of_the_kernel()
    for _ in range(_LOWEST_PORT, first):
        port = _LOWEST_PORT + next(_ports) % (first - _LOWEST_PORT)
        with suppress(OSError), ExitStack() as held:
            for kind in kinds:
                held.enter_context(_bound(address, port, kind))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"there are no {count} free ports below {first}")


def _first_port_of_the_kernel() -> int:
    try:
        first, _last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except OSError:
        return _USUAL_FIRST
    return int(first) if int(first) > 2 * _LOWEST_PORT else _USUAL_FIRST


def _bound(address: str, port: int, kind: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened


def _tied_to_us(argv: Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *argv] if setpriv else list(argv)


@asynccontextmanager
async def running(program: Program, answers: Probe, *, limit: float = START_LIMIT) -> AsyncIterator[Running]:
    """Start *program* and wait until *answers*, run the block, end it: SIGTERM, then SIGKILL after `STOP_LIMIT`.

    Raises `ServerDidNotStart` with the end of its log.
    """
    log = Log(program.name, program.log)
    with program.log.open("ab") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - a handle that no event loop owns: a fixture may outlive its loop
            _tied_to_us(program.argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(program.env),
            cwd=program.cwd,
            start_new_session=True,  # Ctrl-C at the terminal ends the tests, and these by their fixtures
        )
    logs.append(log)
    try:
        await _wait_until(answers, process, log, limit)
        yield Running(process, log)
    finally:
        await stop(process)
        logs.remove(log)


async def _wait_until(answers: Probe, process: subprocess.Popen[bytes], log: Log, limit: float) -> None:
    until = time.monotonic() + limit
    while True:
        if (status := process.poll()) is not None:
            raise ServerDidNotStart(f"{log.program}: ended with status {status} before it answered\n{log.tail()}")
        if await _says_yes(answers):
            return
        if time.monotonic() > until:
            raise ServerDidNotStart(f"{log.program}: no answer within {limit:.0f} s\n{log.tail()}")
        await asyncio.sleep(POLL)


async def _says_yes(answers: Probe) -> bool:
    try:
        async with asyncio.timeout(2):
            return await answers()
    except (OSError, aiohttp.ClientError, dns.exception.DNSException, TimeoutError):
        return False


async def stop(process: subprocess.Popen[bytes]) -> None:
    """End *process* and reap it, even while the test is being cancelled."""
    if process.poll() is None:
        process.terminate()
        until = time.monotonic() + STOP_LIMIT
        try:
            while process.poll() is None and time.monotonic() < until:  # noqa: ASYNC110 - a process sets no event
                await asyncio.sleep(POLL)
        finally:
            process.kill()  # harmless once it has ended: `poll` has reaped it, and Popen remembers
            process.wait(STOP_LIMIT)


async def enter_on_free_ports(stack: AsyncExitStack, start: Callable[[], AbstractAsyncContextManager[T]]) -> T:
    """Enter what *start* makes, which chooses its ports; again where one was taken meanwhile, at most `TRIES` times."""
    for left in reversed(range(TRIES)):
        try:
            return await stack.enter_async_context(start())
        except ServerDidNotStart as failed:
            if not left or not any(words in str(failed).lower() for words in PORT_TAKEN):
                raise
    raise AssertionError
