"""The SQLite file itself: how it is opened, whose it is, and what its errors mean. It knows no asyncio."""

import errno
import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from certd.ledger import schema
from certd.model.errors import StorageError

RESTORE = "restore the state directory from a backup (docs/state.md)"

_OTHERS = 0o077
_ROOM = 64 * 1024  #: of which a -shm takes half
_FULL = "free some space; nothing that was committed is lost, and the next run goes on from there"
_READ_ONLY = "the state directory must be writable by the user certd runs as"

#: By SQLite's primary result code.
_HINTS: dict[int, str] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "the state directory must exist, and be writable by the user certd runs as",
    sqlite3.SQLITE_CORRUPT: RESTORE,
    sqlite3.SQLITE_NOTADB: "this file is not certd's; choose another --state-dir",
    sqlite3.SQLITE_BUSY: "another program has the ledger open; certd tries again at the next run",
    sqlite3.SQLITE_IOERR: "the disk failed: look at the kernel's log (dmesg)",
}


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection with our pragmas to a ledger, or to a new file; the caller owns it.

    Raises sqlite3.Error, OSError, StorageError; somebody else's file, and a newer certd's, is left as it was.
    """
    _make_private(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        if not is_empty(connection):
            check_version(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # Deleted rows hold private keys. SQLite frees their pages and leaves the bytes there until it needs the space;
        # with this it writes zeros over them (Debian compiles that in as the default, others do not). The write-ahead
        # log keeps the old pages until a checkpoint ends it, at the latest when certd stops. What a file system or an
        # SSD keeps of blocks that were overwritten or given back, only encryption can help against.
        connection.execute("PRAGMA secure_delete=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection | None:
    """A connection that changes nothing in the ledger; None while it has no tables: its maker is at work, or died.

    Raises sqlite3.Error, StorageError.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        return _opened_to_read(uri, path)
    except sqlite3.OperationalError:
        # SQLite makes a -shm file beside the ledger even to read, which a full or read-only disk does not let it. If
        # nothing waits in the write-ahead log, the file alone is the whole truth; if something does, it is not.
        if _has_log(path):
            raise
        return _opened_to_read(f"{uri}&immutable=1", path)


def _opened_to_read(uri: str, path: Path) -> sqlite3.Connection | None:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)
    try:
        if not is_empty(connection):
            check_version(connection, path)
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _make_private(path: Path) -> None:
    """Keys lie in it: 0600 whatever the umask, and again if a copy brought it back wider. -wal and -shm follow it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        return
    # By its path: closing any descriptor of a file ends all POSIX locks that this process has on it, SQLite's too.
    if mode & _OTHERS:
        path.chmod(0o600)


def is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return not tables


def close(connection: sqlite3.Connection, path: Path) -> None:
    """Close a connection that wrote, and see that what SQLite does then stays done: it deletes the -wal.

    ext4 with data=writeback gives the blocks of a deleted file to others at once. A power cut that undoes the deletion
    would leave a -wal that is valid to the middle, and the next open would take the ledger back in time.
    """
    connection.close()
    with suppress(OSError):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def storage_error(path: Path, error: Exception) -> StorageError:
    """Whatever went wrong with *path* as one of ours, with what a person can do."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and _is_full(path):
            return StorageError(f"{path}: {error}: no space left (blocks or inodes)", hint=_FULL)
        return StorageError(f"{path}: {error}", hint=_HINTS.get(code, ""))
    if isinstance(error, OSError):
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        hint = _FULL if is_full else _READ_ONLY if isinstance(error, PermissionError) else ""
        return StorageError(f"{path}: {error.strerror or error}", hint=hint)
    return StorageError(f"{path}: {error!r}")


def _is_full(path: Path) -> bool:
    """SQLite says neither of a -shm without room nor of a -wal without an inode that this is what was wrong."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _ROOM or (found.f_files > 0 and found.f_favail == 0)


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what a newer certd wrote, and what certd did not write."""
    try:
        (found,) = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        version = int(found)
    except (sqlite3.OperationalError, TypeError, ValueError) as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
            raise  # the disk's fault, not a missing table
        raise StorageError(f"{path} is not a ledger of certd", hint="choose another --state-dir") from None
    if version > schema.VERSION:
        raise StorageError(
            f"{path}: a newer certd wrote it (schema {version}, this one knows {schema.VERSION}); nothing was changed",
            hint="run that version again, or restore a backup made before the upgrade",
        )
