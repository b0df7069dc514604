"""Everything around one certd: a CA that remembers, ports that outlive a killed process, a DNS zone, a state directory.

The ports are bound here and passed to each run, as systemd does it: a question that the CA asks while certd is dead is
answered by its next life.
"""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from certd.devca import Options
from certd.devca.records import AuthorizationStatus
from certd.devca.settling import settle
from certd.model.clock import SystemClock
from tests.crash.invariants import CaRecord, Seen
from tests.crash.runs import Ended, Forks, Run
from tests.crash.txt_folder import TxtFolder
from tests.fakes.dns_server import Authority, serve
from tests.hellca.hell import HellCa

ZONE = "example.test"
NAME = "shop"
RECORD = f"_acme-challenge.{NAME}.{ZONE}"
FOREIGN = "somebody-elses"  # a TXT value beside ours


class Way(Enum):
    """How the names are proven."""

    HTTP = "http-01"
    DNS = "dns-01"
    ALPN = "tls-alpn-01"

    @property
    def names(self) -> tuple[str, ...]:
        """Two of them; for dns-01 those that share one record name."""
        return (f"*.{NAME}.{ZONE}", f"{NAME}.{ZONE}") if self is Way.DNS else (f"www.{NAME}.{ZONE}", f"{NAME}.{ZONE}")


@dataclass
class World:
    """`forks` may be another one than the worker's: one in a mount namespace of its own."""

    hell: HellCa
    forks: Forks
    folder: Path
    zone: TxtFolder
    dns: str
    http: socket.socket
    alpn: socket.socket
    state: Path
    out: Path
    may_look: asyncio.Event  # clear it, and the CA looks at no proof until it is set
    environment: Mapping[str, str] = field(default_factory=dict)
    view: Path | None = None  # the state directory as this process sees it, where certd is in a namespace of its own
    provider: Sequence[str] = ()  # arguments that choose it; empty: the program that changes `zone`
    ports: Sequence[str] = ("--http-address", "fd:{0}", "--tls-address", "fd:{1}")

    async def begin(self, *arguments: str, point: str = "", stopped: bool = False) -> Run:
        """Start `certd ARGUMENTS`, with the fail-point `STEP:before|after:kill|term|int|fail`."""
        environment = {**self.environment, **({"CERTD_FP": point} if point else {})}
        sockets = [each for each in (self.http, self.alpn) if each.fileno() >= 0]
        return await self.forks.begin(arguments, self.folder, environment=environment, sockets=sockets, stopped=stopped)

    async def certd(self, *arguments: str, point: str = "") -> Ended:
        return await (await self.begin(*arguments, point=point)).end()

    def hold(self, point: str) -> None:
        """For a death right after an answer: the CA comes while nobody is at home, and waits for the next process."""
        if point.startswith("challenges-answered:after"):
            self.may_look.clear()

    def issue(self, way: Way, *more: str, names: tuple[str, ...] = (), name: str = NAME) -> tuple[str, ...]:
        """The arguments of `certd issue` with everything that it can do."""
        asked = [word for each in names or way.names for word in ("-d", each)]
        dns = self.provider or ("--dns", "exec", "--dns-option", f"program={self.zone.program}")
        return (
            *("issue", *asked, "--name", name, "--challenge", way.value, *(dns if way is Way.DNS else ())),
            *("--server", self.hell.directory_url, "--ca-bundle", str(self.hell.ca.root_path)),
            *("-m", "ops@example.test", "--agree-tos", "--state-dir", str(self.state)),
            *(*self.ports, "--dns-resolver", self.dns, "--dns-server", f"{ZONE}={self.dns}"),
            *more,
        )

    def seen(self) -> Seen:
        """All that the checker looks at."""
        ca = self.hell.ca
        authorizations = Counter(each.status for each in ca._authority.store.authorizations.values())
        record = CaRecord(
            accounts=[each.thumbprint for each in self.hell.accounts],
            orders=[settle(ca._authority, each).status.value for each in self.hell.orders],
            leaves=[each.leaf for each in self.hell.certificates],
            roots=[ca.root_pem],
            failed=authorizations[AuthorizationStatus.INVALID],
        )
        return Seen(self.view or self.state, record, self._published())

    def _published(self) -> dict[str, set[str]]:
        """TXT values beside somebody else's; where that one is gone, that is in it."""
        ours = self.zone.values()
        ours[RECORD] = ours.get(RECORD, set()) ^ {FOREIGN}
        return {name: values for name, values in ours.items() if values}


@asynccontextmanager
async def world(folder: Path, forks: Forks, *, state: Path | None = None, **options: Any) -> AsyncIterator[World]:
    """*options*: of devca, in place of those of an unfriendly but quick one.

    It looks from one place, so that what certd has seen asked is what the CA has seen.
    """
    async with AsyncExitStack() as stack:
        http, alpn = (stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64)) for _ in range(2))
        zone = TxtFolder(ZONE, folder=folder / "zone")
        zone.folder.mkdir()
        zone.write_program()
        zone.add(RECORD, FOREIGN)
        dns = await stack.enter_async_context(serve(Authority([zone], SystemClock())))
        chosen = Options(
            http_port=http.getsockname()[1],
            tls_port=alpn.getsockname()[1],
            resolver=(dns.address, dns.port),
            sources=("127.0.0.1",),
            late_source=None,
            validation_delay=timedelta(milliseconds=5),
            delay=timedelta(0),
            processing_share=0.0,
            authorization_reuse=0.0,
            profiles={"default": timedelta(days=90)},
        )
        may_look = asyncio.Event()
        may_look.set()

        async def before_looking(seconds: float) -> None:
            await asyncio.sleep(seconds)
            await may_look.wait()

        starting = HellCa.start(replace(chosen, **options), rng=random.Random(1), sleep=before_looking)
        hell = await stack.enter_async_context(starting)
        yield World(
            hell=hell,
            forks=forks,
            folder=folder,
            zone=zone,
            dns=f"{dns.address}:{dns.port}",
            http=http,
            alpn=alpn,
            state=state or folder / "state",
            out=folder / "out",
            may_look=may_look,
        )
