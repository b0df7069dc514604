"""Every single system call of one issuance: killed at it, or told that it failed (CR3; FS1, FS2)."""

import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.crash.invariants import broken_at_the_end, broken_now
from tests.crash.runs import KILLED, RUN_LIMIT, Ended, Forks
from tests.crash.scenarios import wanted, well
from tests.crash.world import Way, World, world
from tests.servers.requirement import program, require

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

SYNC = "fsync,fdatasync"
WRITE = "write,pwrite64,ftruncate"
RENAME = "rename,renameat,renameat2"
LINK = "symlink,symlinkat"
MAKE = "mkdir,mkdirat"
REMOVE = "unlink,unlinkat,rmdir"
SEND = "sendto,sendmsg,connect"
OPEN = "openat"
MOST, ENOUGH = 1000, 8


async def traced(w: World, injection: str, *arguments: str, paths: Sequence[Path] = ()) -> Ended:
    """Run certd with strace's *injection* from its first instruction on; a fork, so that no import is counted.

    *paths*: only for calls on these files.
    """
    run = await w.begin(*arguments, stopped=True)
    with injected(run.pid, injection, paths):
        return await run.end()


@contextmanager
def injected(pid: int, injection: str, paths: Sequence[Path]) -> Iterator[None]:
    """Let *injection* happen to a process that has stopped itself, and let it go on."""
    calls = injection.partition(":")[0]
    options = ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={injection}", "-p", str(pid)]
    options += [word for path in paths for word in ("-P", str(path))]
    until(pid, "State:\tT")
    with subprocess.Popen(["strace", *options]) as strace:
        try:
            until(pid, f"TracerPid:\t{strace.pid}\n")
            os.kill(pid, signal.SIGCONT)
            yield
        finally:
            strace.terminate()


def until(pid: int, line: str) -> None:
    """Wait for what /proc says of a process; some milliseconds."""
    give_up = time.monotonic() + RUN_LIMIT
    while line not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < give_up, f"{line!r} never came"
        time.sleep(0.001)


@asynccontextmanager
async def a_world(tmp_path: Path, warm: Forks, number: int) -> AsyncIterator[World]:
    folder = tmp_path / str(number)
    folder.mkdir()
    async with world(folder, warm) as w:
        yield w


async def ends_well(w: World, arguments: tuple[str, ...]) -> list[str]:
    """What is broken now, or after the same command has come to its end."""
    broken = broken_now(w.seen())
    await well(w, *arguments)
    return broken or broken_at_the_end(w.seen(), wanted(Way.HTTP, generations=1, orders=1))


@pytest.mark.parametrize("calls", [SYNC, WRITE, RENAME, LINK, MAKE, REMOVE, SEND, OPEN])
async def test_a_kill_at_any_system_call_is_made_good_by_the_same_again(
    tmp_path: Path, warm: Forks, calls: str
) -> None:
    """Each thread counts for itself, so the one that calls most often decides; the number ends when nobody is hit."""
    require(program("strace", "strace"))
    number = 0
    for number in range(1, MOST):
        async with a_world(tmp_path, warm, number) as w:
            arguments = w.issue(Way.HTTP)
            ended = await traced(w, f"{calls}:signal=KILL:when={number}", *arguments)
            assert ended.status in {0, KILLED}, (number, ended)
            assert await ends_well(w, arguments) == [], number
        if ended.status == 0:
            break
    assert 1 < number < MOST


@pytest.mark.parametrize(("calls", "error"), [(SYNC, "EIO"), (WRITE, "ENOSPC"), (RENAME, "EIO"), (OPEN, "EMFILE")])
async def test_a_system_call_that_fails_is_told_and_made_good_by_the_same_again(
    tmp_path: Path, warm: Forks, calls: str, error: str
) -> None:
    """Some failures are tolerated; the number ends when nothing has failed for a while."""
    require(program("strace", "strace"))
    number = quiet = 0
    for number in range(1, MOST):
        async with a_world(tmp_path, warm, number) as w:
            arguments = w.issue(Way.HTTP)
            # Of writes those to the ledger: to tell a person anything, something must be written as well.
            paths = [w.state / f"ledger.sqlite{each}" for each in ("", "-wal")] if calls == WRITE else []
            ended = await traced(w, f"{calls}:error={error}:when={number}", *arguments, paths=paths)
            assert ended.status in {0, 1, 2}, (number, ended)
            assert "Traceback" not in ended.err, (number, ended)
            assert await ends_well(w, arguments) == [], number
        quiet = quiet + 1 if ended.status == 0 else 0
        if quiet == ENOUGH:
            break
    assert ENOUGH < number < MOST
