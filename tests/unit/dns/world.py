"""A small DNS: zones with their servers, and a resolver over all of them at 192.0.2.53, in memory and virtual time."""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from certd.api import Dns01Proof
from certd.dns.authorities import Authorities
from certd.dns.settings import DnsSettings, Server
from tests.fakes.clock import ManualClock, VirtualClock
from tests.fakes.dns_server import Authority, Mood, Recursor, Responder, Zone, ask_in_memory

RESOLVER = "192.0.2.53"


@dataclass
class World:
    """`servers` by address; change what stands there to change the world."""

    clock: VirtualClock | ManualClock = field(default_factory=VirtualClock)
    zones: list[Zone] = field(default_factory=list)
    servers: dict[str, Responder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recursor = Recursor(self.zones, self.clock)
        self.servers[RESOLVER] = self.recursor

    def zone(self, origin: str, *addresses: str, **records: list[str]) -> Zone:
        """A zone, its servers at *addresses*, and records `_label__TYPE=[…]`; `apex__TYPE` is at the zone itself."""
        zone = Zone(origin)
        for key, texts in records.items():
            label, _, kind = key.rpartition("__")
            zone.records["@" if label == "apex" else label, kind] = texts
        hosts = [f"ns{number}.{origin}." for number in range(1, 1 + len(addresses))]
        zone.records["@", "NS"] = hosts
        for host, address in zip(hosts, addresses, strict=True):
            zone.records[host, "AAAA" if ":" in address else "A"] = [address]
            self.add_authority(address, zone)
        self.zones.append(zone)
        return zone

    def add_authority(self, address: str, *zones: Zone, lag: float = 0, mood: Mood = Mood.HONEST) -> Authority:
        """A server at *address*, also for zones that it has already; *lag* in seconds."""
        present = self.servers.get(address)
        had = present.zones if isinstance(present, Authority) else ()
        made = Authority((*had, *zones), self.clock, lag=timedelta(seconds=lag), mood=mood)
        self.servers[address] = made
        return made

    def authorities(self, seed: int | None = None, **settings: Any) -> Authorities:
        chosen: dict[str, Any] = {"resolvers": (Server(RESOLVER),), **settings}
        drawn = None if seed is None else random.Random(seed)
        return Authorities(DnsSettings(**chosen), self.clock, drawn, ask=ask_in_memory(self.servers, self.clock))

    def asked(self, address: str) -> list[tuple[str, str]]:
        return self.servers[address].asked


def proof(name: str, value: str = "v" * 43, zone: str = "example.test") -> Dns01Proof:
    return Dns01Proof(name=f"_acme-challenge.{name}", value=value, zone=zone)
