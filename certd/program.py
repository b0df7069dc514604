"""Running a program of somebody else's: argv, no shell, and bounds on all it can do to us.

It gets an end-of-file as input, the environment it is given and no more, a session of its own and a time limit on
everything in it; of what it prints the beginning and the end are kept. Must never wait for more than the program
itself: a grandchild that keeps the output open does not hold us up.
"""

import asyncio
import contextlib
import io
import os
import re
import signal
import stat
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from certd.model.clock import Clock, deadline

KEPT = 64 * 1024  #: bytes of each output, half from its beginning and half from its end
TERM_TO_KILL = timedelta(seconds=3)

_DRAIN = timedelta(seconds=0.3)  # for what the program printed last
_REAP = timedelta(seconds=1)  # a killed process may hang in the kernel: it is not waited for
_QUOTED_LINES = 3
_QUOTED = 400
_SHORTEST_SECRET = 6  # shorter values are words, such as `yes`
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` as in subprocess: a negative one is the signal. Output is text without control characters."""

    status: int
    timed_out: bool
    stdout: str
    stderr: str

    def complaint(self, limit: timedelta, *, unspoken: Iterable[str] = ()) -> str | None:
        """What went wrong, with the last lines the program printed; None for exit status 0.

        *unspoken*: what it was told and may have repeated, such as tokens; shown as `***` (invariant 8).
        """
        if self.timed_out:
            text = f"was not done after {limit.total_seconds():g} s and has been ended"
        elif self.status < 0:
            text = f"was killed by {_signal_name(-self.status)}"
        elif self.status > 0:
            text = f"exit status {self.status}"
        else:
            return None
        printed = self.stderr.strip() or self.stdout.strip()
        for line in sorted((line for value in unspoken for line in value.splitlines()), key=len, reverse=True):
            if len(line) >= _SHORTEST_SECRET:
                printed = printed.replace(line, "***")
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        said = " / ".join(lines[-_QUOTED_LINES:])[-_QUOTED:]
        return f"{text}: {said}" if said else text


async def run_program(argv: Sequence[str], environment: Mapping[str, str], clock: Clock, limit: timedelta) -> Outcome:
    """Run *argv* to its end; after *limit* its process group gets SIGTERM, three seconds later SIGKILL.

    Raises OSError when it cannot be started. Cancelling kills the group.
    """
    async with _capture() as (stdout, out), _capture() as (stderr, err):
        with out, err:
            process = await _start(argv, out, err, environment, clock)
        timed_out = not await _finish(process, clock, limit)
        await _within(clock, _DRAIN, stdout.ended.wait())
        await _within(clock, _DRAIN, stderr.ended.wait())
        status = -signal.SIGKILL if process.returncode is None else process.returncode
        return Outcome(status, timed_out, stdout.text(), stderr.text())


def objection(path: Path) -> str | None:
    """Why the program at *path* must not be run: missing, not executable, or others could change it (HK8)."""
    try:
        real = path.resolve(strict=True)
        status = real.stat()
        if not stat.S_ISREG(status.st_mode):
            return "is not a file"
        if not os.access(real, os.X_OK):
            return "is not executable by certd"
        return next(_exposed(real, path), None)
    except OSError as failure:
        return f"cannot be used: {(failure.strerror or str(failure)).lower()}"


def clean(text: str) -> str:
    """Text without escape sequences and control characters, which could fake lines in a log or move a cursor."""
    return "".join(c for c in _ANSI.sub("", text) if c == "\n" or unicodedata.category(c)[0] != "C")


class _Output(asyncio.Protocol):
    """The head and the tail of one output; what is between is read and dropped, so that the program never blocks."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def data_received(self, data: bytes) -> None:
        room = KEPT // 2 - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if (surplus := len(self._tail) - KEPT // 2) > 0:
            del self._tail[:surplus]
            self._dropped += surplus

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended.set()

    def text(self) -> str:
        gap = f"\n… {self._dropped} bytes left out …\n" if self._dropped else ""
        return clean(self._head.decode(errors="replace") + gap + self._tail.decode(errors="replace"))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.asynccontextmanager
async def _capture() -> AsyncIterator[tuple[_Output, io.FileIO]]:
    """An output and the end of a pipe for the program to write to; asyncio's own pipes would be waited for."""
    read_end, write_end = os.pipe()
    with io.FileIO(write_end, "wb") as writer:
        transport, output = await asyncio.get_running_loop().connect_read_pipe(_Output, io.FileIO(read_end, "rb"))
        try:
            yield output, writer
        finally:
            transport.close()


async def _start(
    argv: Sequence[str], out: io.FileIO, err: io.FileIO, environment: Mapping[str, str], clock: Clock
) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            process = await starting  # asyncio would end the program alone, which may have children by now
            _signal_group(process, signal.SIGKILL)
            await _within(clock, _REAP, process.wait())
        raise


async def _finish(process: asyncio.subprocess.Process, clock: Clock, limit: timedelta) -> bool:
    """Wait for the program; false when it had to be ended."""
    try:
        if await _within(clock, limit, process.wait()):
            return True
        _signal_group(process, signal.SIGTERM)
        await _within(clock, TERM_TO_KILL, process.wait())
        _signal_group(process, signal.SIGKILL)  # its children, too, even where it went by itself
        return False
    finally:
        if process.returncode is None:
            _signal_group(process, signal.SIGKILL)
            await _within(clock, _REAP, process.wait())


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _within(clock: Clock, limit: timedelta, work: Awaitable[object]) -> bool:
    try:
        async with deadline(clock, limit):
            await work
    except TimeoutError:
        return False
    return True


def _exposed(real: Path, path: Path) -> Iterator[str]:
    trusted = (0, os.geteuid())
    if (owner := real.stat().st_uid) not in trusted:
        yield f"belongs to user {owner}, not to root or to certd's user"
    if real.stat().st_mode & stat.S_IWOTH:
        yield "can be written by everybody on this host"
    for folder in dict.fromkeys((*real.parents, *path.absolute().parents)):
        status = folder.stat()
        # In a sticky folder (/tmp) others cannot replace what is not theirs.
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            yield f"lies in {folder}, which can be written by everybody on this host"
        if status.st_uid not in trusted:
            yield f"lies in {folder}, which belongs to user {status.st_uid}"
