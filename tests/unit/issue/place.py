"""One state directory, one CA, one world: issuing in process with the real ledger, keys, X.509 and files."""

import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path as Folder
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from certd.account.ensure import ensure_account
from certd.account.ports import AccountWish
from certd.account.ports import Tools as AccountTools
from certd.app.certificates import X509
from certd.app.export import StateFiles
from certd.app.house import House
from certd.app.place import Place as Layout
from certd.app.publishers import LISTENER, ListenerPublisher, PublisherTable
from certd.issue.issue import issue
from certd.issue.ports import Account, Patience, Publisher, Tools
from certd.issue.proofs import withdraw
from certd.issue.renewal import refresh_renewal
from certd.keys.software import FileKeyStore
from certd.ledger.ledger import Ledger, open_ledger
from certd.model.acme import ChallengeType
from certd.model.desired import Desired
from certd.model.findings import Finding
from certd.model.identifiers import default_name, parse_identifiers
from certd.model.keys import KeyType
from certd.model.records import FailureRecord, Generation, OrderState, Renewal, Scope, ScopeKind, ScopeRecord
from certd.model.secret import Secret
from certd.model.steps import Step, set_trap
from tests.fakes.ca import ISSUER, FakeCa
from tests.fakes.clock import LeapingClock
from tests.fakes.publishers import FOREIGN, FakePublisher, Progress, Shelf, World
from tests.unit.keys import pki

T = TypeVar("T")
MISSING = Finding("missing", "no certificate yet")
SCOPE_KEYS = {
    ScopeKind.ISSUER: ISSUER,
    ScopeKind.ACCOUNT: "https://ca.test/account/1",
    ScopeKind.SET: "dns:example.org",
    ScopeKind.IDENTIFIER: "example.org",
    ScopeKind.ZONE: "dns:example.org",
}


class Killed(BaseException):
    """The process is gone: nothing that catches errors sees it."""


def desired(*names: str, **more: object) -> Desired:
    identifiers = parse_identifiers(names or ["example.org"])
    wish = Desired(default_name(identifiers), identifiers, ISSUER)
    return replace(wish, **more) if more else wish  # type: ignore[arg-type]


@dataclass
class Place:
    root: Folder
    trace: list[str] = field(default_factory=list)
    seed: int = 1

    def __post_init__(self) -> None:
        self.clock = LeapingClock()
        self.world = World(self.trace)
        self.ca = FakeCa(self.clock, self.world, self.trace)
        self.shelf = Shelf()
        self.progress = Progress()
        self.random = random.Random(self.seed)
        self._ids = itertools.count(1)
        self.webroot = self.shelf.put(FakePublisher(self.world, ChallengeType.HTTP_01, "webroot"))
        self.dns = self.shelf.put(FakePublisher(self.world, ChallengeType.DNS_01, "dns:fake"))

    def new_id(self) -> str:
        return f"id-{next(self._ids)}"

    async def on_ledger(self, act: Callable[[Ledger], Awaitable[T]]) -> T:
        async with open_ledger(self.root / "ledger.sqlite", clock=self.clock, node="node") as ledger:
            return await act(ledger)

    async def issue(
        self,
        wish: Desired | None = None,
        *methods: Publisher | ChallengeType,
        by_person: bool = True,
        finding: Finding = MISSING,
        patience: Patience | None = None,
    ) -> tuple[Generation, Renewal]:
        """One run of the program: its account, what earlier runs left in the world, one certificate.

        *methods*: publishers of `shelf`, or the type of challenge that a listener of this process answers.
        """

        async def act(ledger: Ledger) -> tuple[Generation, Renewal]:
            tools = await self.tools(ledger, methods or (self.webroot,), patience or Patience())
            strays = await withdraw(ledger, tools.publishers, None, await ledger.stray_proofs(), self.clock.now())
            self.progress.notes.extend(map(str, strays))
            return await issue(tools, wish or desired(), finding, by_person=by_person)

        try:
            return await self.on_ledger(act)
        finally:
            self.world.live = None

    async def bring_up_to_date(self, wish: Desired, *methods: Publisher | ChallengeType) -> None:
        """What a second run of the same command does: nothing is bought if nothing is due, files are rebuilt."""

        async def stored(ledger: Ledger) -> bool:
            generation = await ledger.newest_generation(wish.name)
            if generation is None or await ledger.open_order(wish.name) is not None:
                return False
            tools = await self.tools(ledger, (self.webroot,), Patience())
            await withdraw(ledger, tools.publishers, None, await ledger.stray_proofs(), self.clock.now())
            await tools.files.write(generation)
            await refresh_renewal(tools, generation)
            return True

        if not await self.on_ledger(stored):
            await self.issue(wish, *methods)

    async def tools(self, ledger: Ledger, methods: Sequence[Publisher | ChallengeType], patience: Patience) -> Tools:
        wish = AccountWish(self.ca.directory.url, terms_agreed=True)
        account = await ensure_account(self.account_tools(ledger), wish)
        key = await self.keys.open(await ledger.key(account.key_id))
        publishers: dict[ChallengeType, Publisher] = {}
        for method in methods:
            if isinstance(method, ChallengeType):
                self.world.live = ledger.live_proofs
                publishers[method] = ListenerPublisher(method, ledger.live_proofs, self.clock)
            else:
                publishers[method.type] = method  # type: ignore[attr-defined]
        async with self.ca.converse(key, account.url) as ca:
            return Tools(
                ca=ca,
                account=Account(account.id, account.url),
                ledger=ledger,
                keys=self.keys,
                certificates=X509(),
                publishers=PublisherTable(publishers, lambda *words: self._reopen(ledger, *words)),
                files=StateFiles(self._house(ledger)),
                clock=self.clock,
                random=self.random,
                progress=self.progress,
                patience=patience,
                new_id=self.new_id,
            )

    @property
    def keys(self) -> FileKeyStore:
        return FileKeyStore(self.new_id)

    def account_tools(self, ledger: Ledger) -> AccountTools:
        return AccountTools(ledger, self.keys, self.ca.converse, self.clock, self.random, self.new_id)

    def _reopen(self, ledger: Ledger, method: str, options: str) -> Publisher:
        if method == LISTENER:
            return ListenerPublisher(ChallengeType.HTTP_01, ledger.live_proofs, self.clock)
        return self.shelf.reopen(method, options)

    def _house(self, ledger: Ledger) -> House:
        return House(Layout(self.root), ledger, self.keys, self.clock, self.random, lambda _: Secret(""))

    # what must hold once all is over

    async def assert_clean(self, *, certificates: int = 1, orders: int = 1) -> None:
        """Invariants 1, 2, 3 and 5, read from the CA, the world, the ledger and the disk."""
        assert len(self.ca.accounts) == 1
        assert len(self.ca.issued) == certificates
        assert len(self.ca.orders) <= orders
        assert not self.world.ours
        assert self.world.records >= FOREIGN
        await self.on_ledger(self._assert_journal_closed)

    async def _assert_journal_closed(self, ledger: Ledger) -> None:
        assert await ledger.open_orders() == []
        assert await ledger.stray_proofs() == []
        (generation, *_) = await ledger.generations(desired().name)
        live = self.root / "live" / "example.org"
        assert live.resolve().name == str(generation.number)
        key = await ledger.key(generation.key_id)  # type: ignore[arg-type]
        leaf, *_ = x509.load_pem_x509_certificates(generation.chain.encode("ascii"))
        assert leaf.public_bytes(Encoding.DER) == self.ca.issued[-1].leaf
        private = load_pem_private_key((live / "privkey.pem").read_bytes(), None)
        assert pki.spki(leaf.public_key()) == key.public_der == pki.spki(private.public_key())  # type: ignore[arg-type]
        assert (live / "bundle.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 2
        assert await ledger.renewal(generation.name, generation.number) is not None

    # what the journal says

    async def states(self) -> list[OrderState]:
        """Of the CA's orders, those that the journal knows."""

        async def act(ledger: Ledger) -> list[OrderState]:
            rows = [await ledger.order_by_url(order.url) for order in self.ca.orders]
            return [row.state for row in rows if row is not None]

        return await self.on_ledger(act)

    async def failures(self, name: str = "example.org") -> list[FailureRecord]:
        """Failed validations of the last hour."""
        since = self.clock.now() - timedelta(hours=1)
        return await self.on_ledger(lambda ledger: ledger.failures(Scope(ScopeKind.IDENTIFIER, ISSUER, name), since))

    async def scopes(self) -> dict[ScopeKind, ScopeRecord]:
        """All that touch example.org."""

        async def act(ledger: Ledger) -> dict[ScopeKind, ScopeRecord]:
            rows = [await ledger.scope(Scope(kind, ISSUER, key)) for kind, key in SCOPE_KEYS.items()]
            return {row.scope.kind: row for row in rows if row is not None}

        return await self.on_ledger(act)

    async def events(self, kind: str) -> list[dict[str, Any]]:
        return [e for _, e in await self.on_ledger(lambda ledger: ledger.events()) if e["event"] == kind]

    async def other_csr(self) -> bytes:
        """A request for example.org that was made elsewhere."""
        key = await self.keys.open(await self.keys.generate(KeyType.EC256))
        return await X509().csr(key, desired().identifiers)


def kill_at(which: Step, edge: str, *, after: int = 0) -> None:
    """Let the process end at the next such edge, or a later one; `set_trap(None)` lets it live again."""
    left = after

    def trap(step: Step, at: str) -> None:
        nonlocal left
        if (step, at) != (which, edge):
            return
        if left:
            left -= 1
            return
        set_trap(None)
        raise Killed(f"{step.value}:{at}")

    set_trap(trap)
