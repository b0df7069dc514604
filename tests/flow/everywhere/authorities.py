"""The CAs that every scenario of `certd issue` is tried on: one table, and one of them running.

What a CA does not do is not in its features; a scenario that needs it is then not in the table of tests, instead of
being skipped.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from pathlib import Path

from certd.devca import Options
from tests.flow.everywhere.adapters import serve_devca, serve_openbao, serve_pebble, serve_step_ca
from tests.flow.everywhere.backstage import Backstage
from tests.flow.everywhere.served import Binding, Place, Served
from tests.servers.bind import Bind, BindOptions, bind
from tests.servers.made import Made
from tests.servers.pebble import NINETY_DAYS, Flavour, PebbleOptions
from tests.servers.places import held_port, new_loopback_address
from tests.servers.process import LOOPBACK
from tests.servers.requirement import require, root

ZONE = "example.test"
DEAD = f"dead.{ZONE}"  # names below it have an address at which nobody listens
NOBODYS_ADDRESS = "127.255.255.253"
SILENT = f"silent.{ZONE}"  # and these one where a test may listen, and say nothing
SILENT_ADDRESS = "127.255.255.252"
BLOCKED = f"blocked.{ZONE}"
MAC_KEY = bytes(range(100, 132))


class Feature(Enum):
    """What not every CA does, and scenarios ask for."""

    TERMS = auto()  # has terms of service
    EAB = auto()  # wants an external account binding
    ARI = auto()  # suggests windows, and is told what an order replaces
    PROFILES = auto()
    ALTERNATES = auto()  # more than one chain
    ADDRESSES = auto()  # identifiers of type ip
    IPV6 = auto()  # and comes to ::1
    TLS_ALPN_FOR_ADDRESSES = auto()
    KEY_CHANGE = auto()
    SAYS_NO_AT_ONCE = auto()  # to a proof that it does not find; others look again for a minute
    REFUSES_NAMES = auto()  # some, by a rule of its own
    REFUSES_NONCES = auto()  # half of them
    ENDS_AUTHORIZATIONS = auto()  # that a client gives up (RFC 8555 §7.5.2)
    SHOWS_CONTACT = auto()
    REASONS = auto()  # takes reasons for a revocation


@dataclass(frozen=True, slots=True)
class Kind:
    """`server`: the program, which is what counts as a witness."""

    name: str
    server: str
    features: frozenset[Feature]
    key_types: frozenset[str]
    serve: Callable[[Place], AbstractAsyncContextManager[Served]]
    own_ports: bool = False  # it comes to 80 and 443 only
    refused_name: str = BLOCKED
    wrong_binding: int = 1  # how certd exits then; 75 where the CA blames itself

    def finds(self, serial: int) -> bool:
        """Whether it knows its own certificate by RFC 9773's id; Pebble 2.10 not if DER's serial begins with 00."""
        return self.server != "Pebble" or serial.bit_length() % 8 != 0


@dataclass(frozen=True, slots=True)
class Authority:
    """A running one, for one test at a time."""

    kind: Kind
    place: Place
    _served: Served
    _backstage: Backstage

    @property
    def directory_url(self) -> str:
        return self._served.directory_url

    @property
    def ca_bundle(self) -> Path:
        return self._served.ca_bundle

    @property
    def dns(self) -> Bind:
        """Knows `ZONE`: each name in it has the address that the CA comes to; `--dns rfc2136` may add to it."""
        return self.place.dns

    @property
    def http_address(self) -> str:
        return f"{self.place.address}:{self.place.http_port}"

    @property
    def tls_address(self) -> str:
        return f"{self.place.address}:{self.place.tls_port}"

    def roots(self) -> list[str]:
        return self._backstage.run(self._served.roots())

    def is_revoked(self, serial: int) -> bool:
        return self._backstage.run(self._served.is_revoked(serial))

    def new_binding(self) -> Binding:
        return self._backstage.run(self._served.new_binding())

    def wipe(self) -> None:
        """It forgets all, and goes on at the same URL."""
        self._backstage.run(self._served.wipe())

    def requests(self) -> Counter[str]:
        return self._served.requests()

    def made(self) -> Made:
        return self._served.made()

    def replaced(self) -> int:
        return self._served.replaced()


_PEBBLE = frozenset(
    {
        *(Feature.TERMS, Feature.ARI, Feature.KEY_CHANGE),
        *(Feature.ADDRESSES, Feature.IPV6, Feature.TLS_ALPN_FOR_ADDRESSES),
        *(Feature.SAYS_NO_AT_ONCE, Feature.REFUSES_NAMES, Feature.ENDS_AUTHORIZATIONS),
        *(Feature.SHOWS_CONTACT, Feature.REASONS),
    }
)
_ALL_KEYS = frozenset({"ec256", "ec384", "ec521", "rsa2048", "rsa3072", "rsa4096", "ed25519"})


def _current(name: str, options: PebbleOptions, *more: Feature) -> Kind:
    return Kind(
        name,
        "Pebble",
        _PEBBLE | set(more),
        _ALL_KEYS - {"ed25519"},
        partial(serve_pebble, options=replace(options, blocked_names=(BLOCKED,))),
    )


_ELSEWHERE = {f"*.{DEAD}": (NOBODYS_ADDRESS,), f"*.{SILENT}": (SILENT_ADDRESS,)}


def _devca(name: str, options: Options, *more: Feature) -> Kind:
    return Kind(
        name,
        "devca",
        _PEBBLE | {Feature.PROFILES, Feature.ALTERNATES} | set(more),
        _ALL_KEYS,
        partial(serve_devca, options=replace(options, addresses=_ELSEWHERE)),
        refused_name="www.example.org",
    )


KINDS = {
    kind.name: kind
    for kind in (
        _current("pebble", PebbleOptions(authz_reuse=0)),
        _current("pebble-half-nonces", PebbleOptions(authz_reuse=0, nonce_reject=50), Feature.REFUSES_NONCES),
        _current("pebble-reuse", PebbleOptions(authz_reuse=100)),
        _current(
            "pebble-roots",
            PebbleOptions(
                alternate_roots=2, chain_length=2, profiles={"default": NINETY_DAYS, "shortlived": 20 * 86400}
            ),
            Feature.ALTERNATES,
            Feature.PROFILES,
        ),
        _current("pebble-eab", PebbleOptions(eab_keys={"kid-1": "a2V5" * 11}), Feature.EAB),
        Kind(
            "pebble-2.4",
            "Pebble 2.4",
            _PEBBLE - {Feature.ARI},
            _ALL_KEYS,
            partial(serve_pebble, options=PebbleOptions(flavour=Flavour.DEBIAN, blocked_names=(BLOCKED,))),
        ),
        Kind(
            "openbao",
            "OpenBao",
            frozenset({Feature.ADDRESSES, Feature.ENDS_AUTHORIZATIONS}),
            _ALL_KEYS,
            serve_openbao,
            own_ports=True,
        ),
        Kind(
            "openbao-eab",
            "OpenBao",
            frozenset({Feature.ADDRESSES, Feature.ENDS_AUTHORIZATIONS, Feature.EAB}),
            _ALL_KEYS,
            partial(serve_openbao, eab_required=True),
            own_ports=True,
            wrong_binding=75,
        ),
        Kind(
            "step-ca",
            "step-ca",
            frozenset(
                {
                    *(Feature.ADDRESSES, Feature.IPV6, Feature.TLS_ALPN_FOR_ADDRESSES),
                    *(Feature.SAYS_NO_AT_ONCE, Feature.SHOWS_CONTACT, Feature.REASONS),
                }
            ),
            _ALL_KEYS,
            serve_step_ca,
        ),
        _devca("devca", Options(processing=timedelta(milliseconds=200), processing_share=0.15, authorization_reuse=0)),
        _devca(
            "devca-eab",
            Options(
                processing=timedelta(milliseconds=200),
                processing_share=0.15,
                eab_keys={"kid-1": MAC_KEY},
                authorization_reuse=1.0,
            ),
            Feature.EAB,
        ),
    )
}


@contextmanager
def running_authority(kind: Kind, backstage: Backstage, folder: Path) -> Iterator[Authority]:
    """Start *kind* and a name server beside it; all of it ends with the block."""
    if kind.own_ports:
        require(root())
    address = new_loopback_address() if kind.own_ports else LOOPBACK
    elsewhere = [f"{name}. IN A {found}" for name, (found,) in _ELSEWHERE.items()]
    zone = BindOptions(zones=(ZONE,), records={ZONE: [f"* IN A {address}", *elsewhere]})
    with ExitStack() as stack:
        http, tls, listen = (stack.enter_context(held_port()) for _ in range(3))
        if kind.own_ports:
            http, tls = 80, 443
        dns = stack.enter_context(backstage.open(bind(_new(folder, "dns"), zone)))
        place = Place(_new(folder, "ca"), dns, address, http, tls, listen)
        served = stack.enter_context(backstage.open(kind.serve(place)))
        yield Authority(kind, place, served, backstage)


@contextmanager
def second_authority(first: Authority, kind: Kind, folder: Path) -> Iterator[Authority]:
    """Another CA that asks the same name server and comes to the same ports as *first*."""
    with held_port() as listen, ExitStack() as stack:
        place = replace(first.place, folder=folder, listen_port=listen)
        served = stack.enter_context(first._backstage.open(kind.serve(place)))
        yield Authority(kind, place, served, first._backstage)


def _new(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made
