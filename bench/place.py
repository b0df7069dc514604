"""Where measurements happen: processes and what they cost, a fresh Pebble for each, medians, the machine."""

import asyncio
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.engine import Engine, engine
from tests.servers.go_tools import ROOT
from tests.servers.pebble import Flavour, Pebble, PebbleOptions, pebble
from tests.servers.process import LOOPBACK, free_ports

PYTHON = sys.executable
CERTD = str(Path(sys.executable).parent / "certd")
LIMIT = 120.0  # seconds for one process
BARE_LOOP = (PYTHON, str(ROOT / "bench" / "bare_loop.py"))


@dataclass(frozen=True, slots=True)
class Cost:
    """One process: wall and CPU seconds, its children's included."""

    wall: float
    cpu: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


class ProgramFailed(Exception):
    """What it printed."""


class TookTooLong(Exception):
    """It was ended."""


async def cost(argv: Sequence[str], env: Mapping[str, str] | None = None, *, limit: float = LIMIT) -> Cost:
    """Run *argv* to its end. Raises `ProgramFailed`, and after *limit* seconds `TookTooLong`."""
    return await asyncio.to_thread(_cost, argv, env or {}, limit)


def _cost(argv: Sequence[str], env: Mapping[str, str], limit: float) -> Cost:
    with tempfile.TemporaryFile() as printed:
        began = time.perf_counter()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, cwd=ROOT, env=environment() | dict(env)
        )
        ending = threading.Timer(limit, os.kill, (process.pid, signal.SIGKILL))
        ending.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        ending.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == -signal.SIGKILL:
            raise TookTooLong(f"{argv[0]}: ended after {limit:.0f} s")
        if process.returncode:
            printed.seek(0)
            raise ProgramFailed(f"{argv[0]} ended with {process.returncode}:\n{printed.read().decode()[-4000:]}")
    return Cost(wall, used.ru_utime + used.ru_stime)


def environment() -> dict[str, str]:
    """As for an installed program: its bytecode may be kept."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def median(costs: Iterable[Cost]) -> Cost:
    """Of wall and CPU apart."""
    all_costs = tuple(costs)
    return Cost(statistics.median(c.wall for c in all_costs), statistics.median(c.cpu for c in all_costs))


@dataclass(frozen=True, slots=True)
class Place:
    """A CA that was never asked before, and a new folder on the disk."""

    ca: Pebble
    port: int
    folder: Path

    def certd(self, *names: str) -> tuple[str, ...]:
        """`certd issue` over http-01 in this place."""
        return (
            *(CERTD, "issue", "--server", self.ca.directory_url, "--ca-bundle", str(self.ca.ca_bundle)),
            *("--agree-tos", "--http-address", f"{LOOPBACK}:{self.port}", "--state-dir", str(self.folder / "state")),
            *(part for name in names for part in ("-d", name)),
        )

    def engine(self) -> AbstractAsyncContextManager[Engine]:
        """The engine in this process."""
        return engine(self.ca.directory_url, self.ca.ca_bundle, self.port, self.folder / "state")

    def bare(self, *names: str) -> tuple[str, ...]:
        return (*BARE_LOOP, self.ca.directory_url, str(self.ca.ca_bundle), str(self.port), *names)


@dataclass(frozen=True, slots=True)
class Places:
    """Makes them below *root*. Nothing is removed before the end: ext4 is slow for a minute where much was deleted."""

    root: Path

    @asynccontextmanager
    async def new(self, flavour: Flavour = Flavour.CURRENT) -> AsyncIterator[Place]:
        folder = Path(tempfile.mkdtemp(dir=self.root))
        (port,) = free_ports(1)
        # Peers repeat refused nonces at different prices; what that costs is chance, so here none are refused.
        options = PebbleOptions(flavour=flavour, http_port=port, nonce_reject=0, authz_reuse=0)
        async with pebble(folder, options) as ca:
            yield Place(ca, port, folder)


def machine() -> str:
    cores, python = os.cpu_count() or 0, platform.python_version()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    linux = platform.release().partition("-")[0]
    return f"{cores} cores, {_memory():.0f} GB, Linux {linux}, CPython {python}; load at the start: {load}"


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
