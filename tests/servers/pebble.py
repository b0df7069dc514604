"""Pebble, Let's Encrypt's test CA: the current one and Debian's old one, every knob an option, a name server beside it.

The current one has ARI, profiles, alternate roots and EAB; Debian's 2.4 has neither ARI nor profiles. Its log names
each ACME request by its route, which is where `requests` counts them: at the CA, whoever the client is.
"""

import json
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import aiohttp

from tests.servers.certificates import ApiCertificate, api_certificate
from tests.servers.challtestsrv import ChallTestSrv, ChallTestSrvOptions, challtestsrv
from tests.servers.go_tools import go_tool
from tests.servers.made import Made
from tests.servers.process import LOOPBACK, Program, Running, enter_on_free_ports, free_ports, running
from tests.servers.requirement import Missing, program, require

NINETY_DAYS = 90 * 86400
REQUEST = re.compile(r"^Pebble \S+ \S+ (GET|HEAD|POST) (/\S+) -> calling handler\(\)$", re.MULTILINE)
NEW_ACCOUNT = re.compile(r"^Pebble \S+ \S+ There are now \d+ accounts in memory$", re.MULTILINE)
NEW_ORDER = re.compile(r'^Pebble \S+ \S+ Added order "\S+" to the db$', re.MULTILINE)
NEW_CERTIFICATE = re.compile(r"^Pebble \S+ \S+ Issued certificate serial \S+ for order \S+$", re.MULTILINE)
ROUTES = {
    "/dir": "directory",
    "/nonce-plz": "newNonce",
    "/sign-me-up": "newAccount",
    "/order-plz": "newOrder",
    "/finalize-order/": "finalize",
    "/my-account/": "account",
    "/rollover-account-key": "keyChange",
    "/revoke-cert": "revokeCert",
    "/certZ/": "certificate",
    "/my-order/": "order",
    "/authZ/": "authorization",
    "/chalZ/": "challenge",
    "/list-orderz/": "orders",
    "/draft-ietf-acme-ari-03/renewalInfo/": "renewalInfo",
}


class Flavour(Enum):
    CURRENT = auto()  # built from tests/tools/pebble
    DEBIAN = auto()  # /usr/bin/pebble, 2.4


@dataclass(frozen=True, slots=True)
class PebbleOptions:
    """Percentages of 100, times in whole seconds. Ports None: challtestsrv listens there and is told answers."""

    flavour: Flavour = Flavour.CURRENT
    nonce_reject: int = 5
    authz_reuse: int = 50
    strict: bool = True
    alternate_roots: int = 0
    chain_length: int = 1  # intermediates in the chain
    eab_keys: Mapping[str, str] = field(default_factory=dict)  # kid → MAC key, base64url; any: EAB is required
    profiles: Mapping[str, int] = field(default_factory=lambda: {"default": NINETY_DAYS})  # name → lifetime
    # More than one profile, none asked for: Pebble picks at random.
    http_port: int | None = None  # where the http-01 listener under test is bound
    tls_port: int | None = None  # the same for tls-alpn-01
    dns_server: str | None = None  # None: a challtestsrv of its own, every name has 127.0.0.1
    retry_after_authz: int = 0  # 0: no Retry-After; else in seconds or as an HTTP-date, by chance
    retry_after_order: int = 0
    validation_sleep: int = 0  # at most, random
    always_valid: bool = False  # no validation at all
    orders_per_page: int = 15
    caa_identities: tuple[str, ...] = ()  # none: pebble.letsencrypt.org
    blocked_names: tuple[str, ...] = ()
    cores: int = 1  # with more, newOrder beside polling can deadlock it
    listen_port: int | None = None  # one that the caller holds (`held_port`); None: any

    def needs_responder(self) -> bool:
        return self.http_port is None or self.tls_port is None


@dataclass(slots=True)
class Pebble:
    """A running one. `ca_bundle` is the root of its API, not of what it issues: see `roots`."""

    directory_url: str
    ca_bundle: Path
    management_url: str
    options: PebbleOptions
    running: Running
    _challtestsrv: ChallTestSrv | None
    _requests_before: int = 0

    @property
    def challtestsrv(self) -> ChallTestSrv:
        assert self._challtestsrv is not None, "started with a dns_server of the caller's"
        return self._challtestsrv

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_bundle))

    async def roots(self) -> list[str]:
        """The roots it issues under, PEM, the default chain's first (`1 + alternate_roots` of them)."""
        return [await self._managed(f"/roots/{each}") for each in range(1 + self.options.alternate_roots)]

    async def intermediates(self) -> list[str]:
        """The issuing intermediate of each root, PEM."""
        return [await self._managed(f"/intermediates/{each}") for each in range(1 + self.options.alternate_roots)]

    async def certificate_status(self, serial: int) -> dict[str, Any]:
        """{"Certificate", "Reason", "RevokedAt", "Serial", "Status": "Valid" | "Revoked"}."""
        digits = f"{serial:x}"
        status: dict[str, Any] = json.loads(
            await self._managed(f"/cert-status-by-serial/{digits.zfill(len(digits) + len(digits) % 2)}")
        )
        return status

    async def set_renewal_info(self, leaf_pem: str, answer: str) -> None:
        """Answer ARI questions about this certificate with *answer*, which may be broken JSON (current Pebble)."""
        body = json.dumps({"Certificate": leaf_pem, "ARIResponse": answer})
        headers = {"User-Agent": "certd-tests", "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                f"{self.management_url}/set-renewal-info/", data=body, headers=headers, ssl=self.trust()
            ) as reply,
        ):
            assert reply.status == 200, f"set-renewal-info: {reply.status} {await reply.text()}"

    def requests(self) -> list[tuple[str, str]]:
        """ACME requests since the start, oldest first: (method, resource) with RFC 8555's names, `authorization` …

        What Pebble refuses before it looks for the route is not among them: no User-Agent, wrong method, unknown path.
        """
        found = REQUEST.findall(self.running.log.text())[self._requests_before :]
        return [(method, ROUTES[path]) for method, path in found if path in ROUTES]

    def request_count(self) -> int:
        return len(self.requests())

    def request_table(self) -> Counter[str]:
        """How many requests for each resource."""
        return Counter(resource for _, resource in self.requests())

    def made(self) -> Made:
        log = self.running.log.text()
        return Made(*(len(each.findall(log)) for each in (NEW_ACCOUNT, NEW_ORDER, NEW_CERTIFICATE)))

    async def _managed(self, path: str) -> str:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.management_url}{path}", ssl=self.trust()) as reply,
        ):
            assert reply.status == 200, f"pebble {path}: {reply.status} {await reply.text()}"
            return await reply.text()


def pebble_program(flavour: Flavour, name: str = "pebble") -> Path | Missing:
    """Pebble's own program, or with *name* `pebble-challtestsrv` the other one."""
    match flavour:
        case Flavour.CURRENT:
            return go_tool("pebble", name)
        case Flavour.DEBIAN:
            return program(name, "pebble")


@asynccontextmanager
async def pebble(folder: Path, options: PebbleOptions | None = None) -> AsyncIterator[Pebble]:
    """Run Pebble with files and logs in *folder*; skips the test (or fails it) where the program is missing."""
    options = options or PebbleOptions()
    binary = require(pebble_program(options.flavour))
    async with AsyncExitStack() as stack:
        responder = None
        if options.dns_server is None or options.needs_responder():
            answering = ChallTestSrvOptions(
                answers_http=options.http_port is None, answers_tls_alpn=options.tls_port is None
            )
            srv = require(pebble_program(options.flavour, "pebble-challtestsrv"))
            responder = await stack.enter_async_context(challtestsrv(srv, folder, answering))
        certificate = api_certificate(folder)
        yield await enter_on_free_ports(stack, lambda: _on_free_ports(binary, folder, options, certificate, responder))


@asynccontextmanager
async def _on_free_ports(
    binary: Path, folder: Path, options: PebbleOptions, certificate: ApiCertificate, responder: ChallTestSrv | None
) -> AsyncIterator[Pebble]:
    listen, management = free_ports(2)
    listen = options.listen_port or listen
    configuration = folder / f"pebble-{listen}.json"
    configuration.write_text(
        json.dumps({"pebble": _configuration(options, certificate, responder, listen, management)})
    )
    dns_server = options.dns_server or (responder.dns_server if responder else "")
    argv = [str(binary), "-config", str(configuration), "-dnsserver", dns_server, *["-strict"] * options.strict]
    started = Program("pebble", argv, folder / f"pebble-{listen}.log", _environment(options))
    trust = ssl.create_default_context(cafile=str(certificate.root))
    url, managed = f"https://{LOOPBACK}:{listen}/dir", f"https://{LOOPBACK}:{management}"
    async with running(started, lambda: _answers(trust, f"{managed}/roots/0", url)) as server:
        ca = Pebble(url, certificate.root, managed, options, server, responder)
        ca._requests_before = len(REQUEST.findall(server.log.text()))
        yield ca


def _configuration(
    options: PebbleOptions, certificate: ApiCertificate, responder: ChallTestSrv | None, listen: int, management: int
) -> dict[str, Any]:
    return {
        "listenAddress": f"{LOOPBACK}:{listen}",
        "managementListenAddress": f"{LOOPBACK}:{management}",
        "certificate": str(certificate.certificate),
        "privateKey": str(certificate.key),
        "httpPort": options.http_port or (responder.http_port if responder else 0),
        "tlsPort": options.tls_port or (responder.tls_port if responder else 0),
        "externalAccountBindingRequired": bool(options.eab_keys),
        "externalAccountMACKeys": dict(options.eab_keys),
        "caaIdentities": list(options.caa_identities),
        "domainBlocklist": list(options.blocked_names),
        "retryAfter": {"authz": options.retry_after_authz, "order": options.retry_after_order},
        "keyAlgorithm": "ecdsa",
        "profiles": {
            name: {"description": f"{seconds} s", "validityPeriod": seconds}
            for name, seconds in options.profiles.items()
        },
        # What Debian's knows instead of profiles.
        "certificateValidityPeriod": next(iter(options.profiles.values())),
    }


def _environment(options: PebbleOptions) -> dict[str, str]:
    return {
        "GOMAXPROCS": str(options.cores),
        "PEBBLE_WFE_NONCEREJECT": str(options.nonce_reject),
        "PEBBLE_AUTHZREUSE": str(options.authz_reuse),
        "PEBBLE_ALTERNATE_ROOTS": str(options.alternate_roots),
        "PEBBLE_CHAIN_LENGTH": str(options.chain_length),
        "PEBBLE_WFE_ORDERS_PER_PAGE": str(options.orders_per_page),
        "PEBBLE_VA_ALWAYS_VALID": "1" if options.always_valid else "0",
        "PEBBLE_VA_NOSLEEP": "0" if options.validation_sleep else "1",
        "PEBBLE_VA_SLEEPTIME": str(options.validation_sleep),
    }


async def _answers(trust: ssl.SSLContext, *urls: str) -> bool:
    async with aiohttp.ClientSession() as http:
        for url in urls:
            async with http.get(url, ssl=trust) as reply:
                if reply.status != 200:
                    return False
    return True
