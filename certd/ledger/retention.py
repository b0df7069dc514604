"""How long things are kept, and forgetting the rest: once a day, never what a link, an open order or an account names.

Three pieces, so that each can be tried alone: `take_stock` reads, `select` decides (pure), `forget` deletes the rows.
The files of pruned generations are the caller's (`certd.app.prune`), and go *before* the rows: a crash in between
leaves rows whose files are missing, which the next run selects again. The other way round it would leave private keys
on the disk that no row names.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from certd.ledger.ledger import SET_META, Ledger
from certd.ledger.rows import from_micros, to_micros
from certd.model.acme import CertId
from certd.model.identifiers import CertName
from certd.model.steps import Step

#: At most this often: nothing here grows by more than some rows a day and certificate.
EVERY = timedelta(days=1)

#: Per certificate, besides whatever has not expired: one to go back to, and enough before it to see what changed.
GENERATIONS = 5

#: An order and its withdrawn proofs, from its beginning: long after any CA has forgotten it (Let's Encrypt: 7 days),
#: and as long as a person may ask why an issuance failed.
ENDED_ORDERS = timedelta(days=90)

#: Events: the longest certificate that CAs issue (398 days), from its issuance to its end.
EVENTS = timedelta(days=400)

#: Failures are counted against the CA's limits, whose longest window is a week.
FAILURES = timedelta(days=8)

#: A scope that has not failed again for so long begins anew.
SCOPES = timedelta(days=90)

NOW = timedelta(0)
_PRUNED_AT = "pruned-at"


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    name: CertName
    number: int
    not_after: datetime
    cert_id: CertId | None = None


@dataclass(frozen=True, slots=True)
class EndedOrder:
    """`has_proofs`: some of its proofs are not known to be withdrawn."""

    id: str
    name: CertName
    created_at: datetime
    has_proofs: bool = False


@dataclass(frozen=True, slots=True)
class Stock:
    """All that decides. `shown`: the generations that links show, by name; `replaced`: what open orders replace."""

    generations: Sequence[StoredGeneration]
    orders: Sequence[EndedOrder] = ()
    shown: Mapping[CertName, AbstractSet[int]] = field(default_factory=dict)
    replaced: AbstractSet[CertId] = frozenset()


@dataclass(frozen=True, slots=True)
class Prunable:
    """`kept`: what stays of each name, so that files without a row can be told from files with one."""

    generations: Sequence[tuple[CertName, int]]
    orders: Sequence[EndedOrder]
    kept: Mapping[CertName, frozenset[int]]
    at: datetime


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows went."""

    generations: int
    orders: int
    proofs: int
    events: int
    failures: int
    scopes: int
    keys: int


async def is_due(ledger: Ledger, now: datetime) -> bool:
    last = await ledger.meta(_PRUNED_AT)
    if last is None:
        return True
    since = now - from_micros(int(last))
    return since >= EVERY or since < NOW  # the clock was ahead when it was done last


async def take_stock(ledger: Ledger, shown: Mapping[CertName, AbstractSet[int]]) -> Stock:
    """Columns only: whole chains of all generations would be gigabytes on a large host."""
    generations = await ledger.rows("SELECT name, number, not_after, cert_id FROM generations")
    orders = await ledger.rows(
        "SELECT id, name, created_at, id IN (SELECT order_id FROM proofs WHERE state <> 'withdrawn') "
        "FROM orders WHERE state IN ('done', 'dead')"
    )
    replaced = await ledger.rows("SELECT replaces FROM orders WHERE state NOT IN ('done', 'dead')")
    return Stock(
        generations=[StoredGeneration(name, n, from_micros(end), cert_id) for name, n, end, cert_id in generations],
        orders=[EndedOrder(id_, name, from_micros(at), bool(proofs)) for id_, name, at, proofs in orders],
        shown=shown,
        replaced=frozenset(cert_id for (cert_id,) in replaced if cert_id is not None),
    )


def select(stock: Stock, now: datetime) -> Prunable:
    """What nobody needs any more at *now*."""
    by_name: dict[CertName, list[StoredGeneration]] = defaultdict(list)
    for generation in stock.generations:
        by_name[generation.name].append(generation)
    kept = {name: _kept(name, all_of_it, stock, now) for name, all_of_it in by_name.items()}
    return Prunable(
        generations=[(g.name, g.number) for g in stock.generations if g.number not in kept[g.name]],
        # An order with proofs that may still be in the world is what withdraws them (invariant 5), however old it is.
        orders=[order for order in stock.orders if order.created_at < now - ENDED_ORDERS and not order.has_proofs],
        kept=kept,
        at=now,
    )


def _kept(name: CertName, all_of_it: Sequence[StoredGeneration], stock: Stock, now: datetime) -> frozenset[int]:
    newest = sorted((g.number for g in all_of_it), reverse=True)[:GENERATIONS]
    alive = (g.number for g in all_of_it if g.not_after > now or g.cert_id in stock.replaced)
    return frozenset(newest) | frozenset(alive) | stock.shown.get(name, frozenset())


async def forget(ledger: Ledger, prunable: Prunable) -> Pruned:
    """Delete the rows, all in one commit, and remember when that was. Raises StorageError."""

    def job(connection: sqlite3.Connection) -> Pruned:
        pruned = _delete(connection, prunable)
        connection.execute(SET_META, (_PRUNED_AT, str(to_micros(prunable.at))))
        return pruned

    return await ledger.change(Step.PRUNED, job)


def _delete(connection: sqlite3.Connection, prunable: Prunable) -> Pruned:
    def delete(what: str, *parameters: object) -> int:
        return connection.execute(f"DELETE FROM {what}", parameters).rowcount  # noqa: S608 - texts of this file

    def before(age: timedelta) -> int:
        return to_micros(prunable.at - age)

    connection.executemany("DELETE FROM renewals WHERE name = ? AND number = ?", prunable.generations)
    orders = [(order.id,) for order in prunable.orders]
    return Pruned(
        generations=sum(delete("generations WHERE name = ? AND number = ?", *one) for one in prunable.generations),
        proofs=sum(delete("proofs WHERE order_id = ? AND state = 'withdrawn'", *one) for one in orders),
        orders=sum(delete("orders WHERE id = ?", *one) for one in orders),
        # Also what some consumer has not read yet: nobody wants to be told after more than a year.
        events=delete("outbox WHERE at < ?", before(EVENTS)),
        failures=delete("failures WHERE at < ?", before(FAILURES)),
        scopes=delete("scopes WHERE updated_at < ? AND coalesce(blocked_until, 0) < ?", before(SCOPES), before(NOW)),
        keys=delete(_KEYS),  # last: what named them is gone
    )


#: Of refused keys, of rollovers that are done, of what was just pruned. A key's row is always written in the commit of
#: the row that names it, so none is in between.
_KEYS = """keys WHERE id NOT IN (
  SELECT key_id FROM generations WHERE key_id IS NOT NULL
  UNION SELECT key_id FROM orders WHERE key_id IS NOT NULL
  UNION SELECT key_id FROM accounts
  UNION SELECT next_key_id FROM accounts WHERE next_key_id IS NOT NULL
)"""
