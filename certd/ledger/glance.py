"""A synchronous look at the ledger, for when nothing is due: no event loop, no X.509, no lock, no change."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from certd.ledger.file import open_to_read, storage_error
from certd.ledger.rows import decode, select
from certd.model.identifiers import CertName
from certd.model.records import DesiredRecord, Generation, OrderRecord, Renewal

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Glance:
    """What the ledger knows of one name."""

    generation: Generation | None
    renewal: Renewal | None
    desired: DesiredRecord | None  # what the newest generation was issued for
    open_order: OrderRecord | None
    has_open_proofs: bool
    reloaded: int | None  # the generation after which `--reload` last succeeded


def glance(path: Path, name: CertName) -> Glance | None:
    """None when there is no ledger yet. Raises StorageError."""
    try:
        if not path.exists():
            return None
        connection = open_to_read(path)
        if connection is None:
            return None
        try:
            return _look(connection, name)
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise storage_error(path, error) from error


def _look(connection: sqlite3.Connection, name: CertName) -> Glance:
    connection.execute("BEGIN")  # one moment for all questions: another certd may be writing
    generation = _one(connection, Generation, "WHERE name = ? ORDER BY number DESC LIMIT 1", name)
    renewal = None
    if generation is not None:
        renewal = _one(connection, Renewal, "WHERE name = ? AND number = ?", name, generation.number)
    proofs = connection.execute("SELECT 1 FROM proofs WHERE state <> 'withdrawn' LIMIT 1").fetchone()
    reloaded = connection.execute("SELECT value FROM meta WHERE key = ?", (f"reloaded:{name}",)).fetchone()
    return Glance(
        generation=generation,
        renewal=renewal,
        desired=_one(connection, DesiredRecord, "WHERE name = ?", name),
        open_order=_one(connection, OrderRecord, "WHERE name = ? AND state NOT IN ('done', 'dead')", name),
        has_open_proofs=proofs is not None,
        reloaded=int(reloaded[0]) if reloaded else None,
    )


def _one(connection: sqlite3.Connection, kind: type[R], where: str, *parameters: str | int) -> R | None:
    row = connection.execute(select(kind, where), parameters).fetchone()
    if row is None:
        return None
    found: R = decode(kind, row)
    return found
