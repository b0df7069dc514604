"""One authoritative server, asked again and again until it has shown all our values twice in a row."""

import asyncio
import random as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certd.dns.ask import Ask, Question, rcode_text
from certd.dns.errors import Unanswered
from certd.dns.resolve import shown
from certd.dns.settings import Server
from certd.model.clock import Clock

AGREEMENTS = 2
FAILURES_BORNE = 10  #: SERVFAILs in a row until a server is taken for broken: half a minute at the usual pace

_QUESTIONS_AT_ONCE = 8
_TRIES = 2  # one lost datagram is not a dead server
_QUOTED = 60  # characters of somebody else's value


@dataclass(frozen=True, slots=True)
class Pace:
    """When a server is asked again: after `first` to confirm, else at growing intervals, ± 20 %."""

    first: timedelta = timedelta(seconds=0.25)
    growth: float = 1.6
    longest: timedelta = timedelta(seconds=15)

    def interval(self, turn: int, draw: float) -> timedelta:
        """*turn* counts from 0; *draw* is a random number from 0 to 1."""
        grown = min(self.longest, self.first * self.growth ** min(turn, 40))
        return grown * (0.8 + 0.4 * draw)


PACE = Pace()


class Witness:
    """What a server has said. It agrees when it has shown all values of all names in one round of questions.

    The second round asks in reverse: were two servers to answer in turn behind one address, each would be asked for
    each name. A round ends with the first name that lacks something, for then another one is due anyway.
    """

    def __init__(
        self, server: Server, wanted: Mapping[dns.name.Name, frozenset[bytes]], ask: Ask, *, given: bool = False
    ) -> None:
        """*given* by --dns-server: it need not have authority for the zone."""
        self.server = server
        self.has_a_say = False  # it has said something about the zone
        self.complaint = "no answer yet"
        self._wanted = wanted
        self._ask = ask
        self._given = given
        self._order = list(wanted)
        self._asked = False
        self._in_a_row = 0
        self._failures = 0
        self._slots = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    @property
    def excused(self) -> bool:
        """Others of its zone can speak for it."""
        return self._asked and not self.has_a_say and not 0 < self._failures < FAILURES_BORNE

    def agrees(self, times: int) -> bool:
        return self._in_a_row >= times

    async def follow(self, clock: Clock, random: randomness.Random, pace: Pace, heard: asyncio.Event) -> None:
        """Ask until it agrees; *heard* is set after each round."""
        turn = 0
        while True:
            self._in_a_row = self._in_a_row + 1 if await self._shows_all() else 0
            self._asked = True
            heard.set()
            if self.agrees(AGREEMENTS):
                return
            pause = pace.first
            if not self.agrees(1):
                pause, turn = pace.interval(turn, random.random()), turn + 1
            await clock.sleep_until(clock.now() + pause)

    async def _shows_all(self) -> bool:
        objections: list[str] = []

        async def check(name: dns.name.Name) -> None:
            async with self._slots:
                if not objections and (objection := await self._objection(name)) is not None:
                    objections.append(objection)
                    self._order.remove(name)
                    self._order.insert(0, name)  # the next round begins where this one ended

        first, *rest = self._order
        await check(first)  # alone: a server that is silent is not asked a hundred times
        async with asyncio.TaskGroup() as group:
            for name in rest if not objections else []:
                group.create_task(check(name))
        if objections:
            self.complaint = objections[0]
            return False
        self._order.reverse()
        return True

    async def _objection(self, name: dns.name.Name) -> str | None:
        """What is wrong with the server's answer for *name*, if anything."""
        try:
            reply = await self._answer(Question(name, dns.rdatatype.TXT))
        except Unanswered as silence:
            self._failures = 0
            return str(silence)
        if (lame := _lameness(reply)) is not None and not (self._given and reply.rcode() == dns.rcode.NOERROR):
            return lame
        if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            self._failures += 1
            return f"{shown(name)}: {rcode_text(reply)}"
        self.has_a_say = True
        lacking = _lacking(reply, name, self._wanted[name])
        return lacking and f"{shown(name)}: {lacking}"

    async def _answer(self, question: Question) -> dns.message.Message:
        for _ in range(_TRIES - 1):
            try:
                return await self._ask(self.server, question)
            except Unanswered:
                continue
        return await self._ask(self.server, question)


def _lameness(reply: dns.message.Message) -> str | None:
    """Why the server has no say on this zone."""
    if reply.rcode() in (dns.rcode.REFUSED, dns.rcode.NOTAUTH, dns.rcode.NOTIMP):
        return f"does not serve the zone ({rcode_text(reply)})"
    if reply.rcode() == dns.rcode.NOERROR and not reply.answer and not reply.flags & dns.flags.AA:
        refers = any(rrset.rdtype == dns.rdatatype.NS for rrset in reply.authority)
        return f"does not serve the zone ({'it refers to other servers' if refers else 'no authoritative answer'})"
    return None


def _lacking(reply: dns.message.Message, name: dns.name.Name, wanted: frozenset[bytes]) -> str | None:
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return "there is no such name yet"
    rrsets = (rrset for rrset in reply.answer if rrset.rdtype == dns.rdatatype.TXT and rrset.name == name)
    # RFC 1035 §3.3.14: a TXT record is one or more strings; a value may come split at any place
    seen = {b"".join(rdata.strings) for rrset in rrsets for rdata in rrset}
    missing, others = len(wanted - seen), sorted(seen - wanted)
    if not missing:
        return None
    text = "our value is missing" if len(wanted) == 1 else f"{missing} of our {len(wanted)} values missing"
    if not others:
        return text
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"{text}, it has {_quoted(others[0])}{more}"


def _quoted(value: bytes) -> str:
    """Somebody else's value, which may be anything: escaped, and no more than fits a line."""
    text = value[:_QUOTED].decode("ascii", errors="backslashreplace")
    return repr(text) + ("…" if len(value) > _QUOTED else "")
