"""500 certificates of one name each, 50 at once, through the issuing engine with all its durability, and bare."""

import asyncio
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.place import PYTHON, Place, Places, environment
from bench.tables import Aim, Section
from tests.servers.go_tools import ROOT

COUNT, AT_ONCE, TIMES = 500, 50, 5
TRIES = 3  # Pebble locks up now and then, with one core as well: newOrder beside polling
LEAST_RATE, MOST_CPU = 0.60, 2.0
LIMIT = 120.0


@dataclass(slots=True)
class Seen:
    rates: list[float] = field(default_factory=list)  # certificates a second
    cpu: list[float] = field(default_factory=list)  # seconds a certificate
    requests: list[float] = field(default_factory=list)  # a certificate
    ca_cpu: list[float] = field(default_factory=list)  # Pebble's

    def row(self, name: str) -> tuple[str, ...]:
        return (
            name,
            f"{median(self.rates):.0f}",
            f"{min(self.rates):.0f}-{max(self.rates):.0f}",
            f"{median(self.cpu) * 1e3:.2f}",
            f"{median(self.requests):.2f}",
            f"{median(self.ca_cpu) * 1e3:.2f}",
        )


async def measure(places: Places) -> Section:
    bare, ours = Seen(), Seen()
    for _ in range(TIMES):
        for which, seen in (("bare", bare), ("engine", ours)):
            await _note(which, seen, places)
    rate = median(o / b for o, b in zip(ours.rates, bare.rates, strict=True))
    cpu = median(o / b for o, b in zip(ours.cpu, bare.cpu, strict=True))
    return Section(
        f"{COUNT} certificates, {AT_ONCE} at once",
        f"Account there, http-01; medians of {TIMES} pairs in turn, a fresh Pebble each. certd's eighth request asks "
        "when to renew (ARI), which the bare loop does not.",
        ("client", "certificates/s", "from-to", "CPU ms each", "requests each", "Pebble's CPU ms each"),
        [bare.row("bare loop"), ours.row("certd's engine")],
        [
            Aim("rate, as a part of the bare loop's", rate, LEAST_RATE, at_least=True),
            Aim("CPU, as a multiple of the bare loop's", cpu, MOST_CPU),
        ],
    )


async def _note(which: str, seen: Seen, places: Places) -> None:
    for tried in range(1, TRIES + 1):
        try:
            async with places.new() as place:
                await _once(which, seen, place)
        except subprocess.SubprocessError as failed:
            if tried == TRIES:
                raise
            print(f"{which}: once more, with another Pebble: {failed}")
        else:
            return


async def _once(which: str, seen: Seen, place: Place) -> None:
    argv = (
        *(PYTHON, "-m", "bench.crowd", which, place.ca.directory_url, str(place.ca.ca_bundle), str(place.port)),
        *(str(place.folder / "state"), str(COUNT), str(AT_ONCE)),
    )
    before = _cpu(place.ca.running.pid)
    done = await asyncio.to_thread(
        subprocess.run, argv, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True, timeout=LIMIT
    )
    spent = json.loads(done.stdout)
    seen.rates.append(COUNT / spent["seconds"])
    seen.cpu.append(spent["cpu"] / COUNT)
    seen.requests.append(place.ca.request_count() / COUNT)
    seen.ca_cpu.append((_cpu(place.ca.running.pid) - before) / COUNT)


def _cpu(pid: int) -> float:
    """CPU seconds of a running process (proc(5): utime and stime, in hundredths)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
