"""The ledger: the shared truth about accounts, orders, proofs, generations, scopes and what must be told.

One transaction a step, all or nothing: `commit(claim, step, *records, events=…)`. Every write is fenced by the epoch of
the node that took the claim. With SQLite the state directory belongs to one process (a kernel lock that dies with
it), so opening the ledger takes the next epoch and with it every claim an earlier process may have left.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from certd.ledger import schema
from certd.ledger.engine import Engine
from certd.ledger.file import RESTORE, is_empty
from certd.ledger.live_proofs import LiveProofs
from certd.ledger.rows import TABLES, Record, Value, decode, encode, select, to_micros, upsert
from certd.model.acme import IssuerId, OrderUrl
from certd.model.clock import Clock
from certd.model.errors import StorageError
from certd.model.events import Event, as_fields
from certd.model.identifiers import CertName
from certd.model.keys import KeyId, KeyRecord
from certd.model.proofs import ProofRecord, ProofState
from certd.model.records import (
    ORDER_TRANSITIONS,
    AccountRecord,
    Claim,
    DesiredRecord,
    DirectoryRecord,
    FailureRecord,
    Generation,
    OrderRecord,
    OrderState,
    Renewal,
    Scope,
    ScopeRecord,
)
from certd.model.steps import Step, step

R = TypeVar("R")
_OPEN = "state NOT IN ('done', 'dead')"
_SCOPE = "WHERE kind = ? AND issuer = ? AND key = ?"
_FAILURES = f"{_SCOPE} AND at >= ? ORDER BY at"
SET_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class ClaimLost(StorageError):
    """Somebody else holds the claim now; nothing of this commit was written."""


class Ledger:
    """Made by `open_ledger`. Reads see every commit that has returned."""

    def __init__(self, engine: Engine, clock: Clock, node: str, epoch: int) -> None:
        self._engine = engine
        self._clock = clock
        self._node = node
        self._epoch = epoch
        self._held: dict[CertName, Claim] = {}
        self.live_proofs = LiveProofs()
        engine.guard = self._fence

    # claims

    def claim(self, name: CertName, set_key: str) -> Claim | None:
        """The right to work on *name* and on the identifier set; None while another task has either."""
        if name in self._held or any(claim.set_key == set_key for claim in self._held.values()):
            return None
        claim = self._held[name] = Claim(name, set_key, self._node, self._epoch)
        return claim

    def release(self, claim: Claim) -> None:
        """Safe to repeat: what somebody else claimed since stays theirs."""
        if self._held.get(claim.name) is claim:
            del self._held[claim.name]

    # writing

    async def commit(self, claim: Claim | None, which: Step, *records: Record, events: Sequence[Event] = ()) -> None:
        """Store *records* and *events* together; returns once they survive a power cut.

        Raises ClaimLost when *claim* is no longer ours, StorageError when the disk, an order's state or what is there
        already forbids it; nothing of it was written then.
        """
        # Asked now, and not when the job's turn comes: a task that is cancelled while it waits gives its claim back,
        # and what it was about to remember is still true.
        if claim is not None and self._held.get(claim.name) is not claim:
            raise ClaimLost(f"{claim.name}: this task no longer has the claim; nothing was written")
        rows = [(record, encode(record)) for record in records]

        def job(connection: sqlite3.Connection) -> None:
            for record, row in rows:
                _check(connection, record)
                fence: list[Value] = [self._node, self._epoch] if TABLES[type(record)].fenced else []
                connection.execute(upsert(type(record)), [*row, *fence])
            for event in events:
                self._post(connection, event)

        await self.change(which, job)
        self.live_proofs.see(record for record in records if isinstance(record, ProofRecord))

    async def change(self, which: Step, job: Callable[[sqlite3.Connection], R]) -> R:
        """Run *job* as one fenced transaction: for what is no record (retention, scopes that are cleared, meta).

        Raises ClaimLost, StorageError.
        """
        try:
            with step(which):
                return await self._engine.write(job)
        except sqlite3.IntegrityError as error:
            raise StorageError(f"{which.value}: refused by the ledger: {error}") from error

    async def clear_scopes(self, scopes: Iterable[Scope]) -> None:
        """A success or a person's word ends their waits; what counts against the CA's limits stays in `failures`."""
        these, keys = _scopes_in(scopes)
        if keys:
            await self.change(Step.SCOPES_CLEARED, lambda c: c.execute(f"DELETE FROM scopes {these}", keys).rowcount)  # noqa: S608 - words of ours

    def _fence(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT epoch FROM nodes WHERE node = ?", (self._node,)).fetchone()
        if found != (self._epoch,):
            raise ClaimLost("another certd took this state directory over; nothing was written")

    def _post(self, connection: sqlite3.Connection, event: Event) -> None:
        fields = as_fields(event)
        document = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        connection.execute(
            "INSERT INTO outbox (at, kind, name, document, node, epoch) VALUES (?, ?, ?, ?, ?, ?)",
            (to_micros(self._clock.now()), fields["event"], fields.get("name", ""), document, self._node, self._epoch),
        )

    # reading

    async def key(self, key_id: KeyId) -> KeyRecord:
        found = await self._one(KeyRecord, "WHERE id = ?", key_id)
        if found is None:
            raise StorageError(f"key {key_id} is not in the ledger", hint=RESTORE)
        return found

    async def accounts(self, issuer: IssuerId | None = None) -> list[AccountRecord]:
        if issuer is None:
            return await self._all(AccountRecord, "ORDER BY created_at")
        return await self._all(AccountRecord, "WHERE issuer = ? ORDER BY created_at", issuer)

    async def directory(self, issuer: IssuerId) -> DirectoryRecord | None:
        return await self._one(DirectoryRecord, "WHERE issuer = ?", issuer)

    async def desired(self, name: CertName) -> DesiredRecord | None:
        return await self._one(DesiredRecord, "WHERE name = ?", name)

    async def open_order(self, name: CertName) -> OrderRecord | None:
        return await self._one(OrderRecord, f"WHERE name = ? AND {_OPEN}", name)

    async def open_order_for_set(self, issuer: IssuerId, set_key: str) -> OrderRecord | None:
        return await self._one(OrderRecord, f"WHERE issuer = ? AND set_key = ? AND {_OPEN}", issuer, set_key)

    async def order_by_url(self, url: OrderUrl) -> OrderRecord | None:
        return await self._one(OrderRecord, "WHERE url = ?", url)

    async def order(self, order_id: str) -> OrderRecord | None:
        return await self._one(OrderRecord, "WHERE id = ?", order_id)

    async def open_orders(self) -> list[OrderRecord]:
        return await self._all(OrderRecord, f"WHERE {_OPEN} ORDER BY created_at")

    async def proofs(self, order_id: str) -> list[ProofRecord]:
        """Those of one order that are not known to be withdrawn."""
        return await self._all(ProofRecord, "WHERE order_id = ? AND state <> 'withdrawn'", order_id)

    async def stray_proofs(self) -> list[ProofRecord]:
        """Proofs whose order has come to its end: to be withdrawn, whoever published them."""
        return await self._all(
            ProofRecord,
            "WHERE state <> 'withdrawn' AND order_id IN (SELECT id FROM orders WHERE state IN ('done', 'dead'))",
        )

    async def newest_generation(self, name: CertName) -> Generation | None:
        return await self._one(Generation, "WHERE name = ? ORDER BY number DESC LIMIT 1", name)

    async def generations(self, name: CertName) -> list[Generation]:
        return await self._all(Generation, "WHERE name = ? ORDER BY number DESC", name)

    async def generation_by_fingerprint(self, fingerprint: str) -> Generation | None:
        return await self._one(Generation, "WHERE fingerprint = ?", fingerprint)

    async def generation_of_order(self, order_id: str) -> Generation | None:
        return await self._one(Generation, "WHERE order_id = ?", order_id)

    async def names(self) -> list[CertName]:
        return [CertName(row[0]) for row in await self.rows("SELECT DISTINCT name FROM generations ORDER BY name")]

    async def renewal(self, name: CertName, number: int) -> Renewal | None:
        return await self._one(Renewal, "WHERE name = ? AND number = ?", name, number)

    async def scope(self, scope: Scope) -> ScopeRecord | None:
        return await self._one(ScopeRecord, _SCOPE, *_scope_key(scope))

    async def failures(self, scope: Scope, since: datetime) -> list[FailureRecord]:
        return await self._all(FailureRecord, _FAILURES, *_scope_key(scope), to_micros(since))

    async def standing(
        self, scopes: Sequence[Scope], since: datetime
    ) -> tuple[list[ScopeRecord], list[list[FailureRecord]]]:
        """What any of *scopes* waits for, and the failures of each: one question, however many names there are."""
        these, keys = _scopes_in(scopes)
        if not keys:
            return [], []
        waits, failures = select(ScopeRecord, these), select(FailureRecord, f"{these} AND at >= ? ORDER BY at")
        after = to_micros(since)

        def job(connection: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
            return connection.execute(waits, keys).fetchall(), connection.execute(failures, [*keys, after]).fetchall()

        rows, failed = await self._engine.read(job)
        of: dict[Scope, list[FailureRecord]] = {scope: [] for scope in scopes}
        for row in failed:
            failure: FailureRecord = decode(FailureRecord, row)
            of[failure.scope].append(failure)
        return [decode(ScopeRecord, row) for row in rows], [of[scope] for scope in scopes]

    async def events(self, after: int = 0, limit: int = 1000) -> list[tuple[int, dict[str, Any]]]:
        """Outbox rows with an id above *after*, oldest first."""
        sql = "SELECT id, at, document FROM outbox WHERE id > ? ORDER BY id LIMIT ?"
        return [(row[0], {"at": row[1], **json.loads(row[2])}) for row in await self.rows(sql, after, limit)]

    async def reloaded(self, name: CertName) -> int | None:
        """The generation of *name* after which `--reload` last succeeded."""
        found = await self.meta(f"reloaded:{name}")
        return int(found) if found else None

    async def note_reloaded(self, name: CertName, number: int) -> None:
        row = (f"reloaded:{name}", str(number))
        await self.change(Step.RELOAD_STORED, lambda c: c.execute(SET_META, row).rowcount)

    async def meta(self, key: str) -> str | None:
        rows = await self.rows("SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None

    async def _one(self, kind: type[R], where: str, *parameters: Value) -> R | None:
        found = await self._all(kind, where, *parameters)
        return found[0] if found else None

    async def _all(self, kind: type[R], where: str, *parameters: Value) -> list[R]:
        return [decode(kind, row) for row in await self.rows(select(kind, where), *parameters)]

    async def rows(self, sql: str, *parameters: Value) -> list[tuple[Any, ...]]:
        """What a SELECT of ours finds; for columns alone where whole records would be too much."""
        rows: list[tuple[Any, ...]] = await self._engine.read(lambda c: c.execute(sql, parameters).fetchall())
        return rows


def _scope_key(scope: Scope) -> tuple[str, str, str]:
    return scope.kind.value, scope.issuer, scope.key


def _scopes_in(scopes: Iterable[Scope]) -> tuple[str, list[str]]:
    """A condition for all of *scopes* at once, and its parameters."""
    keys = [_scope_key(scope) for scope in scopes]
    return f"WHERE (kind, issuer, key) IN (VALUES {', '.join(['(?, ?, ?)'] * len(keys))})", [*chain.from_iterable(keys)]


@asynccontextmanager
async def open_ledger(path: Path, *, clock: Clock, node: str) -> AsyncIterator[Ledger]:
    """Open or create the ledger; the caller holds the state directory's lock.

    Raises StorageError: not a ledger, a newer schema, not writable.
    """
    engine = Engine(path)
    started_at = to_micros(clock.now())
    try:
        with step(Step.LEDGER_OPENED):
            epoch: int = await engine.start(lambda c: _prepare(c, node, started_at))
        ledger = Ledger(engine, clock, node, epoch)
        ledger.live_proofs.see(await ledger._all(ProofRecord, f"WHERE state <> '{ProofState.WITHDRAWN.value}'"))  # noqa: SLF001
        yield ledger
    finally:
        await engine.close()


def _prepare(connection: sqlite3.Connection, node: str, started_at: int) -> int:
    if is_empty(connection):
        for statement in schema.TABLES.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(schema.VERSION),))
    connection.execute(
        "INSERT INTO nodes VALUES (?, 1, ?) "
        "ON CONFLICT (node) DO UPDATE SET epoch = epoch + 1, started_at = excluded.started_at",
        (node, started_at),
    )
    (epoch,) = connection.execute("SELECT epoch FROM nodes WHERE node = ?", (node,)).fetchone()
    return int(epoch)


def _check(connection: sqlite3.Connection, record: Record) -> None:
    """What no bug above may do to an order or a generation; raises StorageError."""
    match record:
        case OrderRecord():
            _check_order(connection, record)
        case Generation():
            sql = "SELECT order_id, fingerprint FROM generations WHERE name = ? AND number = ?"
            found = connection.execute(sql, (record.name, record.number)).fetchone()
            if found not in {None, (record.order_id, record.fingerprint)}:
                raise StorageError(
                    f"{record.name}: generation {record.number} is another certificate, and never changes"
                )
        case _:
            pass


def _check_order(connection: sqlite3.Connection, order: OrderRecord) -> None:
    row = connection.execute("SELECT state, url FROM orders WHERE id = ?", (order.id,)).fetchone()
    state, url = row or (OrderState.INTENT.value, None)
    before = OrderState(state)
    if order.state is not before and order.state not in ORDER_TRANSITIONS[before]:
        raise StorageError(f"{order.name}: an order cannot go from {before.value} to {order.state.value}")
    if url is not None and order.url != url:
        raise StorageError(f"{order.name}: the order {url} cannot become {order.url}")
