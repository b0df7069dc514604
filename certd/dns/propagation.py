"""Waiting until every authoritative server shows our TXT values (RFC 8555 §8.4), before the CA is told to look.

Each server is followed at its own pace (`certd.dns.witness`), so that a dead one holds up nobody. Whoever has answered
once must show all values twice in a row: the answers of an anycast address alternate. A server that never answered,
that does not serve the zone, or that has had nothing but SERVFAIL for half a minute is named, but blocks only when its
zone has no other: the CA's resolver goes on to the next one, too. Values are only ever asked at authoritative servers,
where nothing is cached.
"""

import asyncio
import random as randomness
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import dns.name

from certd.api import Dns01Proof
from certd.dns.authorities import Authorities, reach_hint
from certd.dns.errors import DnsError
from certd.dns.witness import AGREEMENTS, PACE, Pace, Witness
from certd.model.clock import Clock, deadline

_QUOTED = 4  # servers in one message

#: Is told after each answer who does not agree yet; for people who watch.
Watcher = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Visible:
    """Every value was seen. `unheard`: the servers that were not waited for, each with what it did instead."""

    unheard: tuple[str, ...] = ()


async def wait_until_visible(
    wanted: frozenset[Dns01Proof],
    authorities: Authorities,
    clock: Clock,
    random: randomness.Random,
    *,
    watcher: Watcher | None = None,
    pace: Pace = PACE,
) -> Visible:
    """Return once every reachable authoritative server shows all values, twice in a row.

    Raises DnsError(retry=True) when the settings' `propagation_timeout` is over: it says which servers still disagree
    and what they answered. Safe to repeat and to cancel.
    """
    zones = [await _gather_witnesses(zone, proofs, authorities) for zone, proofs in _by_zone(wanted).items()]
    limit = authorities.settings.propagation_timeout
    try:
        async with deadline(clock, limit), asyncio.TaskGroup() as group:
            heard = asyncio.Event()
            witnesses = [witness for zone in zones for witness in zone.witnesses]
            tasks = [group.create_task(each.follow(clock, random, pace, heard)) for each in witnesses]
            while not all(zone.agreed for zone in zones):
                await heard.wait()
                heard.clear()
                if watcher is not None:
                    watcher([text for zone in zones for text in zone.complaints()])
            for task in tasks:
                task.cancel()
    except TimeoutError:
        raise _too_late(zones, authorities) from None
    return Visible(tuple(text for zone in zones for text in zone.unheard()))


@dataclass(frozen=True, slots=True)
class _Zone:
    name: str
    witnesses: tuple[Witness, ...]

    @property
    def reachable(self) -> bool:
        return any(witness.has_a_say for witness in self.witnesses)

    @property
    def agreed(self) -> bool:
        return self.reachable and not any(self._blocking(AGREEMENTS))

    def complaints(self) -> Iterator[str]:
        return (f"{witness.server}: {witness.complaint}" for witness in self._blocking(1))

    def unheard(self) -> Iterator[str]:
        return (f"{witness.server}: {witness.complaint}" for witness in self.witnesses if not witness.has_a_say)

    def _blocking(self, times: int) -> Iterator[Witness]:
        reachable = self.reachable
        return (each for each in self.witnesses if not each.agrees(times) and not (reachable and each.excused))


async def _gather_witnesses(zone: str, proofs: Iterable[Dns01Proof], authorities: Authorities) -> _Zone:
    wanted: dict[dns.name.Name, frozenset[bytes]] = {}
    for proof in sorted(proofs):
        name = dns.name.from_text(proof.name)
        wanted[name] = wanted.get(name, frozenset()) | {proof.value.encode("ascii")}
    given = {server for _, server in authorities.settings.servers}
    servers = await authorities.servers_of(zone)
    return _Zone(zone, tuple(Witness(each, wanted, authorities.ask, given=each in given) for each in servers))


def _by_zone(wanted: Iterable[Dns01Proof]) -> dict[str, list[Dns01Proof]]:
    zones: dict[str, list[Dns01Proof]] = {}
    for proof in sorted(wanted):
        zones.setdefault(proof.zone, []).append(proof)
    return zones


def _too_late(zones: Iterable[_Zone], authorities: Authorities) -> DnsError:
    waited = authorities.settings.propagation_timeout
    late = [zone for zone in zones if not zone.agreed]
    complaints = [text for zone in late for text in zone.complaints()]
    unheard = [text for zone in late for text in zone.unheard() if text not in complaints]
    names = ", ".join(zone.name for zone in late)
    text = f"{names}: the TXT records are not visible at every name server after {waited.total_seconds():g} s: "
    text += _listed(complaints or ["answers keep changing"])
    if unheard:
        text += f"; not waited for: {_listed(unheard)}"
    hint = "slow secondaries need a longer --propagation-timeout"
    if unreachable := next((zone.name for zone in late if not zone.reachable), None):
        hint = reach_hint(unreachable, given=authorities.settings.given_zone(unreachable) is not None)
    return DnsError(text, retry=True, hint=hint)


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _QUOTED
    return "; ".join(texts[:_QUOTED]) + (f"; and {more} more" if more > 0 else "")
