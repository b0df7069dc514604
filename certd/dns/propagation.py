"""Waiting until every authoritative server shows our TXT values (RFC 8555 §8.4), before the CA is told to look.

A server that has answered once must show all values twice in a row (the answers of an anycast address alternate);
one that falls silent later does not count as agreeing. A server that never answered, or that does not serve the
zone, is named but blocks only when its zone has no other. SERVFAIL is an answer, and a wrong one: the CA would get it
too. Values are only ever asked at authoritative servers, where nothing is cached.
"""

import asyncio
import random as randomness
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certd.api import Dns01Proof
from certd.dns.ask import Ask, Question, rcode_text
from certd.dns.authorities import Authorities
from certd.dns.errors import DnsError, Unanswered
from certd.dns.resolve import shown
from certd.dns.settings import Server
from certd.model.clock import Clock

AGREEMENTS = 2

_QUESTIONS_AT_ONCE = 8  # to one server
_TRIES = 2  # one lost datagram is not a dead server
_QUOTED = 4  # complaints in one message

#: Is told before each further round who does not agree yet; for people who watch.
Watcher = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """When the servers are asked again: `first` to confirm, else at growing intervals, ± 20 %."""

    first: timedelta = timedelta(seconds=0.25)
    growth: float = 1.6
    longest: timedelta = timedelta(seconds=15)

    def interval(self, turn: int, draw: float) -> timedelta:
        """*turn* counts from 0; *draw* is a random number from 0 to 1."""
        grown = min(self.longest, self.first * self.growth ** min(turn, 40))
        return grown * (0.8 + 0.4 * draw)


PACE = Pace()


@dataclass(frozen=True, slots=True)
class Visible:
    """Every value was seen. `unheard`: the servers that could not be asked, each with what it did instead."""

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
    started = clock.now()
    until = started + authorities.settings.propagation_timeout
    zones = [await _gather_witnesses(zone, proofs, authorities) for zone, proofs in _by_zone(wanted).items()]
    turn = 0
    while True:
        await _together(witness.ask_round() for zone in zones for witness in zone.witnesses)
        if all(zone.agreed(AGREEMENTS) for zone in zones):
            return Visible(tuple(text for zone in zones for text in zone.unheard()))
        pause = pace.first
        if not all(zone.agreed(1) for zone in zones):
            pause, turn = pace.interval(turn, random.random()), turn + 1
            if watcher is not None:
                watcher([text for zone in zones for text in zone.complaints()])
        if clock.now() + pause > until:
            raise _too_late(zones, authorities.settings.propagation_timeout)
        await clock.sleep_until(clock.now() + pause)


class _Witness:
    """One server, and what it has said about each name."""

    def __init__(self, server: Server, wanted: Mapping[dns.name.Name, frozenset[bytes]], ask: Ask) -> None:
        self.server = server
        self.heard = False
        self.complaint = "was not asked"
        self._wanted = wanted
        self._ask = ask
        self._in_a_row = dict.fromkeys(wanted, 0)
        self._slots = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    def agrees(self, times: int) -> bool:
        return all(count >= times for count in self._in_a_row.values())

    async def ask_round(self) -> None:
        """Ask for every name that is not settled; a server that is silent to the first is spared the others."""
        unsettled = [name for name, count in self._in_a_row.items() if count < AGREEMENTS]
        if unsettled and await self._ask_for(unsettled[0]):
            await _together(self._ask_for(name) for name in unsettled[1:])

    async def _ask_for(self, name: dns.name.Name) -> bool:
        async with self._slots:
            try:
                reply = await self._answer(Question(name, dns.rdatatype.TXT))
            except Unanswered as silence:
                self._in_a_row[name], self.complaint = 0, str(silence)
                return False
        if (lame := _lameness(reply)) is not None:
            self._in_a_row[name], self.complaint = 0, lame
            return False
        self.heard = True
        objection = _objection(reply, name, self._wanted[name])
        if objection is None:
            self._in_a_row[name] += 1
        else:
            self._in_a_row[name], self.complaint = 0, f"{shown(name)}: {objection}"
        return True

    async def _answer(self, question: Question) -> dns.message.Message:
        for _ in range(_TRIES - 1):
            try:
                return await self._ask(self.server, question)
            except Unanswered:
                continue
        return await self._ask(self.server, question)


@dataclass(frozen=True, slots=True)
class _Zone:
    name: str
    witnesses: tuple[_Witness, ...]

    def agreed(self, times: int) -> bool:
        heard = [witness for witness in self.witnesses if witness.heard]
        return bool(heard) and all(witness.agrees(times) for witness in heard)

    def complaints(self) -> Iterator[str]:
        reachable = any(witness.heard for witness in self.witnesses)
        blocking = (w for w in self.witnesses if (w.heard or not reachable) and not w.agrees(1))
        return (f"{witness.server}: {witness.complaint}" for witness in blocking)

    def unheard(self) -> Iterator[str]:
        return (f"{witness.server}: {witness.complaint}" for witness in self.witnesses if not witness.heard)


async def _gather_witnesses(zone: str, proofs: Iterable[Dns01Proof], authorities: Authorities) -> _Zone:
    wanted: dict[dns.name.Name, frozenset[bytes]] = {}
    for proof in sorted(proofs):
        name = dns.name.from_text(proof.name)
        wanted[name] = wanted.get(name, frozenset()) | {proof.value.encode("ascii")}
    servers = await authorities.servers_of(zone)
    return _Zone(zone, tuple(_Witness(server, wanted, authorities.ask) for server in servers))


def _by_zone(wanted: Iterable[Dns01Proof]) -> dict[str, list[Dns01Proof]]:
    zones: dict[str, list[Dns01Proof]] = {}
    for proof in sorted(wanted):
        zones.setdefault(proof.zone, []).append(proof)
    return zones


def _lameness(reply: dns.message.Message) -> str | None:
    """Why the server has no say on this zone: the CA's resolver would go on to the next one, too."""
    if reply.rcode() in (dns.rcode.REFUSED, dns.rcode.NOTAUTH, dns.rcode.NOTIMP):
        return f"does not serve the zone ({rcode_text(reply)})"
    if reply.rcode() == dns.rcode.NOERROR and not reply.answer and not reply.flags & dns.flags.AA:
        return "does not serve the zone (it refers to other servers)"
    return None


def _objection(reply: dns.message.Message, name: dns.name.Name, wanted: frozenset[bytes]) -> str | None:
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return "there is no such name yet"
    if reply.rcode() != dns.rcode.NOERROR:
        return rcode_text(reply)
    rrsets = (rrset for rrset in reply.answer if rrset.rdtype == dns.rdatatype.TXT and rrset.name == name)
    # RFC 1035 §3.3.14: a TXT record is one or more strings; a value may come split at any place
    seen = {b"".join(rdata.strings) for rrset in rrsets for rdata in rrset}
    missing, others = len(wanted - seen), len(seen - wanted)
    if not missing:
        return None
    return f"{missing} of our {len(wanted)} values missing" + (f" beside {others} others" if others else "")


def _too_late(zones: Iterable[_Zone], waited: timedelta) -> DnsError:
    late = [zone for zone in zones if not zone.agreed(AGREEMENTS)]
    complaints = [text for zone in late for text in zone.complaints()]
    unheard = [text for zone in late for text in zone.unheard() if text not in complaints]
    names = ", ".join(zone.name for zone in late)
    text = f"{names}: the TXT records are not visible at every name server after {waited.total_seconds():g} s: "
    text += _listed(complaints or ["answers keep changing"])
    if unheard:
        text += f"; not reached, and not waited for: {_listed(unheard)}"
    reachable = all(any(witness.heard for witness in zone.witnesses) for zone in late)
    hint = "slow secondaries need a longer --propagation-timeout" if reachable else _UNREACHABLE.format(late[0].name)
    return DnsError(text, retry=True, hint=hint)


_UNREACHABLE = (
    "certd asks name servers on UDP and TCP port 53; where it cannot reach them, name one that it can: "
    "--dns-server {}=ADDR:PORT"
)


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _QUOTED
    return "; ".join(texts[:_QUOTED]) + (f"; and {more} more" if more > 0 else "")


async def _together(work: Iterable[Coroutine[None, None, object]]) -> None:
    async with asyncio.TaskGroup() as group:
        for coroutine in work:
            group.create_task(coroutine)
