"""Programs are waited for, ended by handle, and started again where a port was taken: tried with small ones."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from tests.servers import process
from tests.servers.process import Program, Running, ServerDidNotStart, enter_on_free_ports, free_ports, running

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


async def _never() -> bool:
    return False


def _python(folder: Path, code: str) -> Program:
    return Program("small", [sys.executable, "-c", code], folder / "small.log")


async def test_a_program_that_ends_before_it_answers_is_reported_with_its_log(tmp_path: Path) -> None:
    program = _python(tmp_path, "print('no such option'); raise SystemExit(3)")
    with pytest.raises(ServerDidNotStart, match=r"ended with status 3(?s:.*)no such option"):
        await running(program, _never).__aenter__()


async def test_a_program_that_never_answers_is_ended_and_its_log_shown(tmp_path: Path) -> None:
    program = _python(tmp_path, "import time; print('thinking', flush=True); time.sleep(60)")
    with pytest.raises(ServerDidNotStart, match=r"no answer within 1 s(?s:.*)thinking"):
        await running(program, _never, limit=1.0).__aenter__()


async def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_LIMIT", 0.2)
    log = tmp_path / "small.log"

    async def is_deaf() -> bool:
        return "deaf" in log.read_text()

    async with running(_python(tmp_path, DEAF), is_deaf) as started:
        assert started.process.poll() is None
    assert started.process.returncode == -9


async def test_a_block_that_is_cancelled_leaves_no_program_behind(tmp_path: Path) -> None:
    log = tmp_path / "small.log"
    up = asyncio.Event()
    found: list[Running] = []

    async def is_deaf() -> bool:
        return "deaf" in log.read_text()

    async def serve() -> None:
        async with running(_python(tmp_path, DEAF.replace("SIG_IGN", "SIG_DFL")), is_deaf) as started:
            found.append(started)
            up.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await up.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found[0].process.returncode == -15


def test_free_ports_are_none_that_the_kernel_gives_to_others() -> None:
    with socket.socket() as anybody:
        anybody.bind(("127.0.0.1", 0))
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        ports = free_ports(200) + free_ports(50, kinds=(socket.SOCK_STREAM, socket.SOCK_DGRAM))
        assert len(set(ports)) == 250
        assert max(ports) < first <= anybody.getsockname()[1]


def test_a_held_port_is_not_free() -> None:
    (port,) = free_ports(1)
    with ExitStack() as held:
        for following in range(port + 1, port + 6):
            with suppress(OSError):
                held.enter_context(socket.socket()).bind(("127.0.0.1", following))
        assert free_ports(1)[0] not in range(port, port + 6)


@pytest.mark.parametrize(
    ("failures", "why", "tries", "fits"),
    [
        (0, "", 1, True),
        (3, "listen tcp 127.0.0.1:4711: bind: Address already in use", 4, True),
        (4, "listen tcp 127.0.0.1:4711: bind: address already in use", 4, False),
        (1, "no such option", 1, False),
    ],
)
async def test_ports_are_chosen_again_where_one_was_taken_and_for_no_other_reason(
    failures: int, why: str, tries: int, fits: bool
) -> None:
    tried = 0

    @asynccontextmanager
    async def start() -> AsyncIterator[str]:
        nonlocal tried
        tried += 1
        if tried <= failures:
            raise ServerDidNotStart(f"x: {why}")
        yield "up"

    async with AsyncExitStack() as stack:
        with nullcontext() if fits else pytest.raises(ServerDidNotStart):
            assert await enter_on_free_ports(stack, start) == "up"
    assert tried == tries
