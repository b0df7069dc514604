"""Where a dns-01 proof belongs: the name behind all CNAMEs, its zone, and that zone's name servers.

Zones above a name are found by asking a resolver for SOA records; the challenge's own name is only ever asked at
the authoritative servers, so that no resolver remembers its absence, and they also show a zone cut at the name
itself: by a referral, or by the SOA record beside "no such data" (RFC 2308 §2). RFC 8555 §8.4; RFC 1034 §3.6.2, §4.3.2.
"""

import asyncio
import random as randomness
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from certd.dns.ask import Ask, Question, Wire, first_usable, rcode_text
from certd.dns.errors import DnsError, Unanswered
from certd.dns.resolve import Resolver, shown, system_resolvers
from certd.dns.settings import DnsSettings, Server
from certd.model.clock import Clock, deadline

CHALLENGE_LABEL = "_acme-challenge"
MOST_HOPS = 8

_MOST_CUTS = 8
_MOST_NAME_SERVERS = 16
_LOCATE_LIMIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Located:
    """`name` and `zone`: lower case, no trailing dot. `via`: the names whose CNAMEs led there, first one first."""

    name: str
    zone: str
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Alias:
    target: dns.name.Name


@dataclass(frozen=True, slots=True)
class _Cut:
    zone: dns.name.Name


@dataclass(frozen=True, slots=True)
class _Here:
    zone: dns.name.Name


class Authorities:
    """Finds zones and their servers, and remembers them: keep one for an order, not for the life of a daemon."""

    def __init__(
        self, settings: DnsSettings, clock: Clock, random: randomness.Random | None = None, *, ask: Ask | None = None
    ) -> None:
        self.settings = settings
        self.ask: Ask = ask or Wire(clock, settings.question_timeout)
        self._clock = clock
        self._random = random
        self._resolver: Resolver | None = None
        self._zones: dict[dns.name.Name, dns.name.Name] = {}
        self._servers: dict[str, tuple[Server, ...]] = {}
        self._finding: dict[str, asyncio.Lock] = {}

    async def locate(self, identifier_base: str) -> Located:
        """Where the TXT record for *identifier_base* (A-labels, no `*.`) goes; CNAMEs followed, at most eight.

        Raises DnsError: `retry=False` for a CNAME loop or chain that is too long or a name that cannot be,
        `retry=True` when servers did not answer. Safe to repeat and to cancel; ends within 30 s.
        """
        name = _challenge_name(identifier_base)
        try:
            async with deadline(self._clock, _LOCATE_LIMIT):
                return await self._follow(name)
        except TimeoutError:
            raise DnsError(
                f"{shown(name)}: its zone was not found within {_LOCATE_LIMIT.total_seconds():g} s",
                retry=True,
                hint="name a resolver that answers: --dns-resolver ADDR[:PORT]",
            ) from None

    async def servers_of(self, zone: str) -> tuple[Server, ...]:
        """Every address of every name server of *zone*, or those given for it; raises DnsError.

        Those given for a zone above serve this one, too, unless they refer to others.
        """
        if given := self.settings.given_servers(zone):
            return given
        async with self._finding.setdefault(zone, asyncio.Lock()):
            if zone not in self._servers:
                name = dns.name.from_text(zone)
                self._servers[zone] = await self._given_above(name) or await self._discover(name)
            return self._servers[zone]

    async def _follow(self, name: dns.name.Name) -> Located:
        via: list[dns.name.Name] = []
        zone, cuts = await self._zone_above(name, via), 0
        while True:
            match _read(await self._ask_zone(zone, name), name, zone):
                case _Here(found):
                    return Located(shown(name), shown(found), tuple(shown(hop) for hop in via))
                case _Cut(child):
                    zone, cuts = child, cuts + 1
                    if cuts > _MOST_CUTS:
                        raise DnsError(f"{shown(name)}: more than {_MOST_CUTS} delegations to follow", retry=False)
                case _Alias(target):
                    via.append(name)
                    _check_chain(via, target)
                    name, zone, cuts = target, await self._zone_above(target, via), 0

    async def _zone_above(self, name: dns.name.Name, via: Sequence[dns.name.Name]) -> dns.name.Name:
        """The zone that the parent of *name* lies in, or the one that was given for *name*."""
        if (given := self.settings.given_zone(shown(name))) is not None:
            return dns.name.from_text(given)
        start = name.parent() if name != dns.name.root else name
        if start not in self._zones:
            self._zones[start] = await self._walk(start)
        if (zone := self._zones[start]) != dns.name.root:
            return zone
        raise DnsError(
            f"{_chain(*via, name)}: lies in no zone below the root: public DNS does not know its domain",
            retry=False,
            hint="for names of your own: --dns-resolver ADDR[:PORT], or --dns-server ZONE=ADDR:PORT",
        )

    async def _given_above(self, zone: dns.name.Name) -> tuple[Server, ...]:
        above = self.settings.given_zone(shown(zone))
        if above is None:
            return ()
        servers = self.settings.given_servers(above)
        try:
            reply = await first_usable(servers, Question(zone, dns.rdatatype.SOA), self.ask, lambda _: None)
        except Unanswered:
            return servers  # whoever asks them next says what they do
        return () if _referral(reply, zone, dns.name.from_text(above)) is not None else servers

    async def _walk(self, start: dns.name.Name) -> dns.name.Name:
        name = start
        while True:
            reply = await self._lookup(name, dns.rdatatype.SOA)
            # The SOA of an alias's target is beside the point; only one at or above the name tells its zone.
            if (zone := _soa_above(reply, name)) is not None:
                return zone
            if name == dns.name.root:
                raise DnsError(
                    f"{shown(start)}: its zone was not found: the resolver knows no SOA record, not even the root's",
                    retry=True,
                    hint="name another resolver, --dns-resolver ADDR[:PORT], or the zone: --dns-server ZONE=ADDR:PORT",
                )
            name = name.parent()

    async def _ask_zone(self, zone: dns.name.Name, name: dns.name.Name) -> dns.message.Message:
        """What an authoritative server of *zone* says to a question for the CNAME of *name*."""
        servers = list(await self.servers_of(shown(zone)))
        given = any(server in servers for _, server in self.settings.servers)
        try:
            return await first_usable(
                servers,
                Question(name, dns.rdatatype.CNAME),
                self.ask,
                lambda reply: _objection(reply, name, zone, given=given),
            )
        except Unanswered as failure:
            raise DnsError(
                f"{shown(name)}: no name server of {shown(zone)} answered: {failure}",
                retry=True,
                hint=reach_hint(shown(zone), given=given),
            ) from None

    async def _discover(self, zone: dns.name.Name) -> tuple[Server, ...]:
        reply = await self._lookup(zone, dns.rdatatype.NS)
        hosts = [r.target for s in _rrsets(reply.answer, dns.rdatatype.NS) if s.name == zone for r in s]
        hosts = sorted(hosts)[:_MOST_NAME_SERVERS]
        if not hosts:
            raise DnsError(f"{shown(zone)}: the resolver knows no name servers of this zone", retry=True)
        resolver = await self._resolve()
        async with asyncio.TaskGroup() as group:
            lookups = [(host, group.create_task(resolver.addresses(host))) for host in hosts]
        servers = [Server(a, name=shown(host)) for host, task in lookups for a in task.result()]
        if not servers:
            names = ", ".join(shown(host) for host in hosts)
            raise DnsError(f"{shown(zone)}: its name servers ({names}) have no addresses", retry=True)
        if self._random is not None:
            self._random.shuffle(servers)  # not everybody's first question to the same server
        return tuple(sorted(dict.fromkeys(servers), key=lambda server: ":" in server.address))

    async def _lookup(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.Message:
        return await (await self._resolve()).lookup(name, kind)

    async def _resolve(self) -> Resolver:
        if self._resolver is None:
            servers = self.settings.resolvers or await asyncio.to_thread(system_resolvers)
            self._resolver = Resolver(servers, self.ask)
        return self._resolver


def reach_hint(zone: str, *, given: bool) -> str:
    """What to do where no server of *zone* answers; *given*: they are those of --dns-server."""
    if given:
        return "--dns-server names this one; is it up, and does it answer on UDP and TCP?"
    return (
        "certd asks them on UDP and TCP port 53; where it cannot reach them, name one that it can: "
        f"--dns-server {zone}=ADDR:PORT"
    )


async def locate(
    identifier_base: str, settings: DnsSettings, clock: Clock, random: randomness.Random | None = None
) -> Located:
    """`Authorities.locate` for one name."""
    return await Authorities(settings, clock, random).locate(identifier_base)


def _challenge_name(identifier_base: str) -> dns.name.Name:
    try:
        return dns.name.from_text(f"{CHALLENGE_LABEL}.{identifier_base}")
    except dns.exception.DNSException as why:
        raise DnsError(f"{identifier_base}: cannot be validated by DNS: {why}", retry=False) from why


def _check_chain(via: list[dns.name.Name], target: dns.name.Name) -> None:
    chain = _chain(*via, target)
    if target in via:
        raise DnsError(f"{shown(via[0])}: its CNAME records run in a circle: {chain}", retry=False)
    if len(via) > MOST_HOPS:
        raise DnsError(f"{shown(via[0])}: more than {MOST_HOPS} CNAME records in a row: {chain}", retry=False)


def _chain(*names: dns.name.Name) -> str:
    return " → ".join(shown(name) for name in names)


def _read(reply: dns.message.Message, name: dns.name.Name, zone: dns.name.Name) -> _Alias | _Cut | _Here:
    for rrset in _rrsets(reply.answer, dns.rdatatype.CNAME):
        if rrset.name == name:
            return _Alias(next(iter(rrset)).target)
    if (child := _referral(reply, name, zone)) is not None:
        return _Cut(child)
    # A server of both a zone and its child answers from the child: its SOA knows better than our walk.
    return _Here(_soa_above(reply, name) or zone)


def _objection(reply: dns.message.Message, name: dns.name.Name, zone: dns.name.Name, *, given: bool) -> str | None:
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return rcode_text(reply)
    if given or reply.flags & dns.flags.AA or _referral(reply, name, zone) is not None:
        return None
    return "it does not serve the zone (no authoritative answer)"


def _referral(reply: dns.message.Message, name: dns.name.Name, zone: dns.name.Name) -> dns.name.Name | None:
    """The child zone that the server points to: further down, and not below *name* (RFC 1034 §4.3.2, step 3b)."""
    if reply.rcode() != dns.rcode.NOERROR or reply.flags & dns.flags.AA or reply.answer:
        return None
    cuts = (rrset.name for rrset in _rrsets(reply.authority, dns.rdatatype.NS))
    return next((cut for cut in cuts if cut != zone and cut.is_subdomain(zone) and name.is_subdomain(cut)), None)


def _soa_above(reply: dns.message.Message, name: dns.name.Name) -> dns.name.Name | None:
    owners = (rrset.name for rrset in _rrsets((*reply.answer, *reply.authority), dns.rdatatype.SOA))
    return next((owner for owner in owners if name.is_subdomain(owner)), None)


def _rrsets(section: Iterable[dns.rrset.RRset], kind: dns.rdatatype.RdataType) -> Iterator[dns.rrset.RRset]:
    return (rrset for rrset in section if rrset.rdtype == kind and len(rrset))
