"""BIND 9 with dynamic zones on a port of 127.0.0.1: what RFC 2136 providers update, and a look at what they left there.

Two TSIG keys: `key`, the provider's, may change what `policy` grants; the tests' own may change and read all of it.
Names of records are absolute without the last dot; TXT values are unquoted.
"""

import base64
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import SOCK_DGRAM, SOCK_STREAM

import dns.asyncquery
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.tsig
import dns.update
import dns.xfr
import dns.zone

from tests.servers.process import LOOPBACK, Program, Running, enter_on_free_ports, free_ports, running
from tests.servers.requirement import program, require

CONTROL = "tests-own-key"
ANSWER_LIMIT = 5.0  # seconds
TTL = 60


@dataclass(frozen=True, slots=True)
class TsigKey:
    """`secret` in base64, `algorithm` as in `hmac-sha256`; `name` without the last dot."""

    name: str
    secret: str = field(repr=False)
    algorithm: str = "hmac-sha256"

    def of_dnspython(self) -> dns.tsig.Key:
        return dns.tsig.Key(self.name, self.secret, self.algorithm)

    def statement(self) -> str:
        """For named.conf, and as a key file for nsupdate and others."""
        return f'key "{self.name}" {{ algorithm {self.algorithm}; secret "{self.secret}"; }};\n'


def new_key(name: str = "certd-key", algorithm: str = "hmac-sha256") -> TsigKey:
    return TsigKey(name, base64.b64encode(secrets.token_bytes(32)).decode(), algorithm)


@dataclass(frozen=True, slots=True)
class BindOptions:
    """`policy`: what the provider's key may do in each zone (`grant KEY …`); `records`: zone-file lines, by zone."""

    zones: tuple[str, ...] = ("example.test",)
    policy: tuple[str, ...] = ("zonesub TXT",)
    records: dict[str, Sequence[str]] = field(default_factory=dict)
    algorithm: str = "hmac-sha256"


@dataclass(slots=True)
class Bind:
    """A running one."""

    port: int
    key: TsigKey
    zones: tuple[str, ...]
    running: Running
    _control: TsigKey
    address: str = LOOPBACK

    @property
    def server(self) -> str:
        """ADDR:PORT"""
        return f"{self.address}:{self.port}"

    async def txt(self, name: str) -> set[str]:
        """The TXT values of *name*, each with its strings joined."""
        query = dns.message.make_query(name, "TXT")
        reply = await dns.asyncquery.tcp(query, self.address, port=self.port, timeout=ANSWER_LIMIT)
        assert reply.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}, reply.to_text()
        rdatas = (rdata for rrset in reply.answer for rdata in rrset)
        return {b"".join(each.strings).decode() for each in rdatas if isinstance(each, dns.rdtypes.ANY.TXT.TXT)}

    async def add(self, name: str, kind: str, value: str) -> None:
        """Add a record as somebody else would; *value* as in a zone file."""
        update = self._update(name)
        update.add(dns.name.from_text(name), TTL, kind, value)
        await self._send(update)

    async def delete(self, name: str, kind: str, value: str | None = None) -> None:
        """Delete one record, or with None all of *kind*."""
        update = self._update(name)
        update.delete(dns.name.from_text(name), kind, *([] if value is None else [value]))
        await self._send(update)

    async def contents(self, zone: str) -> set[tuple[str, str, str]]:
        """All records as (name, type, value), except the zone's own SOA and NS."""
        transferred = dns.zone.Zone(zone, relativize=False)
        key = self._control.of_dnspython()
        query, _ = dns.xfr.make_query(transferred, keyring=key, keyname=key.name, keyalgorithm=key.algorithm)
        await dns.asyncquery.inbound_xfr(
            self.address, transferred, query, port=self.port, timeout=ANSWER_LIMIT, lifetime=ANSWER_LIMIT
        )
        own = {dns.rdatatype.SOA, dns.rdatatype.NS}
        return {
            (name.to_text(omit_final_dot=True), dns.rdatatype.to_text(rdata.rdtype), rdata.to_text())
            for name, _, rdata in transferred.iterate_rdatas()
            if not (name == transferred.origin and rdata.rdtype in own)
        }

    def _update(self, name: str) -> dns.update.UpdateMessage:
        zone = max((each for each in self.zones if f".{name}".endswith(f".{each}")), key=len)
        return dns.update.UpdateMessage(zone, keyring=self._control.of_dnspython())

    async def _send(self, update: dns.update.UpdateMessage) -> None:
        reply = await dns.asyncquery.tcp(update, self.address, port=self.port, timeout=ANSWER_LIMIT)
        assert reply.rcode() == dns.rcode.NOERROR, reply.to_text()


@asynccontextmanager
async def bind(folder: Path, options: BindOptions | None = None) -> AsyncIterator[Bind]:
    """Run named with zones and log in *folder*; skips the test (or fails it) where BIND 9 is missing."""
    named = _unconfined(require(program("named", "bind9")), folder)
    async with AsyncExitStack() as stack:
        yield await enter_on_free_ports(stack, lambda: _on_a_free_port(named, folder, options or BindOptions()))


@asynccontextmanager
async def _on_a_free_port(named: Path, folder: Path, options: BindOptions) -> AsyncIterator[Bind]:
    (port,) = free_ports(1, kinds=(SOCK_STREAM, SOCK_DGRAM))
    key, control = new_key(algorithm=options.algorithm), new_key(CONTROL)
    for zone in options.zones:
        _zone_file(folder, zone).write_text(_zone(zone, options.records.get(zone, ())))
    configuration = folder / f"named-{port}.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(_configuration(folder, port, options, key, control))
    argv = [str(named), "-g", "-n", "1", "-c", str(configuration)]
    async with running(
        Program("named", argv, folder / f"named-{port}.log"), lambda: _answers(port, control)
    ) as started:
        yield Bind(port, key, options.zones, started, control)


def _configuration(folder: Path, port: int, options: BindOptions, key: TsigKey, control: TsigKey) -> str:
    grants = "".join(f"grant {key.name} {each}; " for each in options.policy)
    zones = (
        f"""zone "{zone}" {{ type primary; file "{_zone_file(folder, zone)}";
            update-policy {{ {grants}grant {control.name} zonesub ANY; }};
            allow-transfer {{ key {control.name}; }}; }};\n"""
        for zone in options.zones
    )
    return f"""{key.statement()}{control.statement()}
        options {{
            directory "{folder}"; pid-file none; session-keyfile none; lock-file none;
            listen-on port {port} {{ {LOOPBACK}; }}; listen-on-v6 {{ none; }};
            recursion no; notify no; dnssec-validation no; empty-zones-enable no; minimal-responses no;
        }};
        controls {{ }};
        {"".join(zones)}"""


def _zone_file(folder: Path, zone: str) -> Path:
    return folder / f"{zone}.zone"


def _zone(zone: str, records: Sequence[str]) -> str:
    lines = (
        f"$ORIGIN {zone}.",
        f"$TTL {TTL}",
        f"@ IN SOA ns1.{zone}. hostmaster.{zone}. 1 3600 600 86400 {TTL}",
        f"@ IN NS ns1.{zone}.",
        f"ns1 IN A {LOOPBACK}",
        *records,
    )
    return "\n".join(lines) + "\n"


async def _answers(port: int, control: TsigKey) -> bool:
    """A signed answer can only be ours: nobody else has this key."""
    query = dns.message.make_query("version.bind", "TXT", "CH")
    query.use_tsig(control.of_dnspython())
    reply = await dns.asyncquery.tcp(query, LOOPBACK, port=port, timeout=1)
    return reply.had_tsig and reply.rcode() == dns.rcode.NOERROR


def _unconfined(named: Path, folder: Path) -> Path:
    """AppArmor on Debian and Ubuntu ties /usr/sbin/named, by that path, to the system's own zone folders."""
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    if not enabled.exists() or not enabled.read_text().startswith("Y"):
        return named
    return Path(shutil.copy2(named, folder / "named"))
