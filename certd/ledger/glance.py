"""A synchronous look at the ledger, for when nothing is due: no event loop, no X.509, no lock, no write."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from certd.ledger.file import check_version, connect, storage_error
from certd.ledger.rows import decode, select
from certd.model.identifiers import CertName
from certd.model.records import Generation, OrderRecord, Renewal

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Glance:
    """What the ledger knows of one name."""

    generation: Generation | None
    renewal: Renewal | None
    open_order: OrderRecord | None
    has_open_proofs: bool
    reloaded: int | None  # the generation after which `--reload` last succeeded


def glance(path: Path, name: CertName) -> Glance | None:
    """None when there is no ledger yet. Raises StorageError."""
    if not path.exists():
        return None
    connection = _open(path)
    try:
        check_version(connection, path)
        generation = _one(connection, Generation, "WHERE name = ? ORDER BY number DESC LIMIT 1", name)
        renewal = None
        if generation is not None:
            renewal = _one(connection, Renewal, "WHERE name = ? AND number = ?", name, generation.number)
        order = _one(connection, OrderRecord, "WHERE name = ? AND state NOT IN ('done', 'dead')", name)
        proofs = connection.execute("SELECT 1 FROM proofs WHERE state <> 'withdrawn' LIMIT 1").fetchone()
        reloaded = connection.execute("SELECT value FROM meta WHERE key = ?", (f"reloaded:{name}",)).fetchone()
        return Glance(generation, renewal, order, proofs is not None, int(reloaded[0]) if reloaded else None)
    except sqlite3.Error as error:
        raise storage_error(path, error) from error
    finally:
        connection.close()


def _one(connection: sqlite3.Connection, kind: type[R], where: str, *parameters: str | int) -> R | None:
    row = connection.execute(select(kind, where), parameters).fetchone()
    if row is None:
        return None
    found: R = decode(kind, row)
    return found


def _open(path: Path) -> sqlite3.Connection:
    try:
        return connect(path, read_only=True)
    except sqlite3.Error as error:
        raise storage_error(path, error) from error
