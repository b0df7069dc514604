"""Each server of the suite as a `Served`."""

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from certd.devca import Options
from tests.flow.everywhere.served import NO_BINDING, Binding, Place, Served, Start
from tests.hellca.hell import HellCa
from tests.servers.made import Made
from tests.servers.openbao import OpenBao, OpenBaoOptions, openbao
from tests.servers.pebble import Pebble, PebbleOptions, pebble
from tests.servers.step_ca import StepCa, StepCaOptions, step_ca
from tests.unit.devca.raw_client import b64


@dataclass(frozen=True, slots=True)
class _Pebble:
    started: Start[Pebble]

    @property
    def _ca(self) -> Pebble:
        return self.started.now

    @property
    def directory_url(self) -> str:
        return self._ca.directory_url

    @property
    def ca_bundle(self) -> Path:
        return self._ca.ca_bundle

    async def roots(self) -> list[str]:
        return await self._ca.roots()

    async def is_revoked(self, serial: int) -> bool:
        return bool((await self._ca.certificate_status(serial))["Status"] == "Revoked")

    async def new_binding(self) -> Binding:
        return next((Binding(*each) for each in self._ca.options.eab_keys.items()), NO_BINDING)

    async def wipe(self) -> None:
        await self.started.again()

    def requests(self) -> Counter[str]:
        return self._ca.request_table()

    def made(self) -> Made:
        return self._ca.made()

    def replaced(self) -> int:
        return self._ca.running.log.text().count("has been marked as replaced in the DB")


@asynccontextmanager
async def serve_pebble(place: Place, options: PebbleOptions) -> AsyncIterator[Served]:
    options = replace(
        options,
        http_port=place.http_port,
        tls_port=place.tls_port,
        dns_server=place.dns.server,
        listen_port=place.listen_port,
    )
    async with Start(place.folder, lambda folder: pebble(folder, options)) as started:
        yield _Pebble(started)


@dataclass(frozen=True, slots=True)
class _StepCa:
    started: Start[StepCa]

    @property
    def _ca(self) -> StepCa:
        return self.started.now

    @property
    def directory_url(self) -> str:
        return self._ca.directory_url

    @property
    def ca_bundle(self) -> Path:
        return self._ca.ca_bundle

    async def roots(self) -> list[str]:
        return [self._ca.ca_bundle.read_text()]

    async def is_revoked(self, serial: int) -> bool:
        return await self._ca.is_revoked(serial)

    async def new_binding(self) -> Binding:
        return NO_BINDING

    async def wipe(self) -> None:
        await self.started.again()

    def requests(self) -> Counter[str]:
        return Counter(resource for _, resource, _ in self._ca.requests())

    def made(self) -> Made:
        return self._ca.made()

    def replaced(self) -> int:
        return 0


@asynccontextmanager
async def serve_step_ca(place: Place) -> AsyncIterator[Served]:
    options = StepCaOptions(
        http_port=place.http_port,
        tls_port=place.tls_port,
        dns_server=place.dns.server,
        listen_port=place.listen_port,
    )
    async with Start(place.folder, lambda folder: step_ca(folder, options)) as started:
        yield _StepCa(started)


@dataclass(frozen=True, slots=True)
class _OpenBao:
    ca: OpenBao

    @property
    def directory_url(self) -> str:
        return self.ca.directory_url

    @property
    def ca_bundle(self) -> Path:
        return self.ca.ca_bundle

    async def roots(self) -> list[str]:
        return [self.ca.root]

    async def is_revoked(self, serial: int) -> bool:
        return await self.ca.is_revoked(serial)

    async def new_binding(self) -> Binding:
        made = await self.ca.new_eab()
        return Binding(made.kid, made.key)

    async def wipe(self) -> None:
        await self.ca.wipe()

    def requests(self) -> Counter[str]:
        return Counter(resource for resource, _ in self.ca.requests())

    def made(self) -> Made:
        return self.ca.made()

    def replaced(self) -> int:
        return 0


@asynccontextmanager
async def serve_openbao(place: Place, *, eab_required: bool = False) -> AsyncIterator[Served]:
    options = OpenBaoOptions(place.address, place.dns.server, eab_required=eab_required)
    async with openbao(place.folder, options) as ca:
        yield _OpenBao(ca)


#: devca's names of routes, where they are not RFC 8555's.
ROUTES = {
    "new-nonce": "newNonce",
    "new-account": "newAccount",
    "new-order": "newOrder",
    "renewal-info": "renewalInfo",
    "revoke-cert": "revokeCert",
    "key-change": "keyChange",
}


@dataclass(frozen=True, slots=True)
class _Devca:
    started: Start[HellCa]

    @property
    def _hell(self) -> HellCa:
        return self.started.now

    @property
    def directory_url(self) -> str:
        return self._hell.directory_url

    @property
    def ca_bundle(self) -> Path:
        return self._hell.ca.root_path

    async def roots(self) -> list[str]:
        return [self._hell.ca.root_pem, *self._hell.ca.alternate_roots]

    async def is_revoked(self, serial: int) -> bool:
        found = next(each for each in self._hell.certificates if _serial(each.leaf) == serial)
        return found.revoked_at is not None

    async def new_binding(self) -> Binding:
        return next((Binding(kid, b64(key)) for kid, key in self._hell.ca.options.eab_keys.items()), NO_BINDING)

    async def wipe(self) -> None:
        await self.started.again()

    def requests(self) -> Counter[str]:
        return Counter(ROUTES.get(each.route, each.route) for each in list(self._hell.requests))

    def made(self) -> Made:
        return Made(len(self._hell.accounts), len(self._hell.orders), len(self._hell.certificates))

    def replaced(self) -> int:
        return sum(each.replaced_by is not None for each in self._hell.certificates)


def _serial(leaf: bytes) -> int:
    return x509.load_der_x509_certificate(leaf).serial_number


@asynccontextmanager
async def serve_devca(place: Place, options: Options) -> AsyncIterator[Served]:
    state = place.folder / "state"
    options = replace(
        options,
        http_port=place.http_port,
        tls_port=place.tls_port,
        resolver=(place.dns.address, place.dns.port),
        port=place.listen_port,
        state_dir=state,
    )

    @asynccontextmanager
    async def start(_: Path) -> AsyncIterator[HellCa]:
        _forget(state / "devca.sqlite")
        async with HellCa.start(options) as hell:
            yield hell

    async with Start(place.folder, start) as started:
        yield _Devca(started)


def _forget(database: Path) -> None:
    """Its root and URLs stay: only accounts, orders and certificates are gone."""
    if database.exists():
        with closing(sqlite3.connect(database)) as opened, opened:
            opened.execute("DELETE FROM record")
