"""Runs of certd that a test starts, kills, stops, and sees the end of."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
RUN_LIMIT = 30.0  # seconds; a run of certd here takes a fraction of one
KILLED = -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Ended:
    """`status` as in subprocess: a negative one is the signal."""

    status: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"status {self.status}\n{self.out}{self.err}"


@dataclass(slots=True)
class Run:
    """One that is under way."""

    pid: int
    _reply: socket.socket = field(repr=False)
    _output: tuple[Path, Path] = field(repr=False)
    _ended: Ended | None = None

    async def end(self, limit: float = RUN_LIMIT) -> Ended:
        """Wait for it; what takes longer than *limit* is killed, and fails the test."""
        if self._ended is None:
            try:
                async with asyncio.timeout(limit):
                    status = int(await asyncio.get_running_loop().sock_recv(self._reply, 64))
            except TimeoutError:
                raise AssertionError(f"not done after {limit:g} s: {self.text()}") from None
            finally:
                self._reply.close()  # and whoever has not ended is killed for it
            self._ended = Ended(status, *(path.read_text() for path in self._output))
        return self._ended

    def text(self) -> str:
        """What it has printed so far."""
        return "".join(path.read_text() for path in self._output if path.exists())

    def signal(self, number: int) -> None:
        if self._ended is None:
            os.kill(self.pid, number)


class Forks:
    """A warmed-up certd (`tests.crash.forks`), which forks a process for each run."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self.pid = pid
        self._channel = channel
        self._count = itertools.count(1)

    async def begin(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        sockets: Sequence[socket.socket] = (),
        stopped: bool = False,
        program: Sequence[str] = (),
    ) -> Run:
        """Start `certd ARGUMENTS`, in which `{0}` is the descriptor of the first of *sockets*.

        Its output goes to files in *folder*. *stopped*: it waits for SIGCONT before it does anything.
        *program*: in place of certd.
        """
        number = next(self._count)
        output = folder / f"run-{number}.out", folder / f"run-{number}.err"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        job = {
            "arguments": list(arguments),
            "environment": {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(environment or {})},
            "output": [str(path) for path in output],
            "stopped": stopped,
            "program": list(program),
        }
        ours.setblocking(False)
        try:
            with theirs:
                descriptors = [theirs.fileno(), *(each.fileno() for each in sockets)]
                socket.send_fds(self._channel, [json.dumps(job).encode()], descriptors)
            return Run(int(await asyncio.get_running_loop().sock_recv(ours, 64)), ours, output)
        except BaseException:
            ours.close()
            raise


@contextmanager
def forks(wrapper: Sequence[str] = ()) -> Iterator[Forks]:
    """Start one, by the command *wrapper* if given (`unshare …`); it ends with the block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            argv = [*wrapper, sys.executable, "-m", "tests.crash.forks", str(theirs.fileno())]
            process = subprocess.Popen(argv, cwd=REPOSITORY, pass_fds=[theirs.fileno()])
        try:
            yield Forks(ours, process.pid)
        finally:
            ours.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()
