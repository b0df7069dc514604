"""The SQLite file itself: how it is opened, whose it is, and what its errors mean. It knows no asyncio."""

import os
import sqlite3
from pathlib import Path

from certd.ledger import schema
from certd.model.errors import StorageError


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with our pragmas; the caller owns it."""
    if read_only:
        # Readers of a WAL file want to write its -shm; where they cannot, nobody else writes either.
        mode = "mode=ro" if os.access(path.parent, os.W_OK) else "mode=ro&immutable=1"
        return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=5)
    # It holds private keys: 0600 from its first byte, and SQLite gives its -wal and -shm the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """SQLite's word on *path* as one of ours, with what a person can do."""
    text = str(error)
    hints = {
        "full": "free some space; nothing that was committed is lost, and the next run goes on from there",
        "readonly": "the state directory must be writable by the user certd runs as",
        "unable to open": "the state directory must exist and be accessible to the user certd runs as",
        "malformed": "restore the state directory from a backup (docs/state.md)",
        "not a database": "this file is not certd's; choose another --state-dir",
    }
    hint = next((hint for key, hint in hints.items() if key in text), "")
    return StorageError(f"{path}: {text}", hint=hint)


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what a newer certd wrote, and what certd did not write."""
    try:
        (found,) = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    except (sqlite3.OperationalError, TypeError):
        raise StorageError(f"{path} is not a ledger of certd", hint="choose another --state-dir") from None
    if int(found) > schema.VERSION:
        raise StorageError(
            f"{path}: written by a newer certd (schema {found}, this one knows {schema.VERSION}); nothing was changed",
            hint="run that version again, or restore a backup made before the upgrade",
        )
