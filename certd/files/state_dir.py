"""The state directory: made, judged, and held by one certd at a time.

It holds private keys and the ledger, so nobody else may write to it. Its parents are the operator's affair: who can
rename those can do worse. The lock is the kernel's (`flock` on `certd.lock`): it dies with its holder, however that
ends, and a lock file that is left over means nothing.
"""

import fcntl
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from certd.files.access import PRIVATE, Access
from certd.files.faults import told
from certd.files.writing import make_directory, opened, read, sweep, swept_on_error, write_new
from certd.model.clock import Clock
from certd.model.errors import StorageError, TryLater

LOCK_FILE = "certd.lock"
_CHECK = ".certd-check"
_POLL = timedelta(milliseconds=100)
_LONGEST_HOLDER = 300


def open_state_dir(path: Path, access: Access = PRIVATE) -> None:
    """Make the directory (0700) unless it is there, and make sure that it is ours alone and takes files.

    Raises StorageError: not a directory, not writable, read-only, full, writable by others, or somebody else's.
    """
    with told(path, "make the state directory"):
        if not path.is_dir():
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with opened(path.parent) as parent:
                make_directory(path.name, at=parent, access=access)
    refuse_shared(path)
    check_writable(path)


def refuse_shared(path: Path) -> None:
    """Raises StorageError for a directory that others can write to, or that is somebody else's."""
    with told(path, "look at the state directory"):
        seen = path.stat()
    if seen.st_mode & 0o022:
        raise StorageError(
            f"{path}: others can write to it (mode {stat.S_IMODE(seen.st_mode):04o}), so no key is safe in it",
            hint=f"chmod go-w {path}, or give a directory below it: --state-dir {path / 'certd'}",
        )
    if seen.st_uid not in {os.geteuid(), 0}:
        raise StorageError(
            f"{path}: it belongs to user {seen.st_uid}, and certd runs as user {os.geteuid()}",
            hint="run certd as that user, or give another --state-dir",
        )


def check_writable(path: Path) -> None:
    """Write 4 KiB and remove them again. Raises StorageError with the reason: permissions, read-only, full."""
    with told(path, "write to this directory"), opened(path) as directory:
        sweep(_CHECK, at=directory)
        # Another certd may be trying the same at this moment: then it can be written to.
        with suppress(FileExistsError), swept_on_error(_CHECK, at=directory):
            write_new(_CHECK, bytes(4096), at=directory, access=PRIVATE, mode=0o600, durable=False)
        sweep(_CHECK, at=directory)


class StateLock:
    """The right to write to one state directory, for one process."""

    def __init__(self, directory: Path, command: str | None = None) -> None:
        """*command*: what the holder is shown as to others; else this process's command line."""
        self._directory = directory
        self._command = " ".join(("certd", *sys.argv[1:])) if command is None else command
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it. Raises StorageError where the lock cannot be had at all."""
        path = self._directory / LOCK_FILE
        with told(path, "lock the state directory"):
            descriptor = _open_locked(path)
            if descriptor is None:
                return False
            with suppress(OSError):  # a full disk must not keep anybody from working: the text is for people
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} {self._command}"[:_LONGEST_HOLDER].encode("utf-8", "replace"))
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        """Who holds it, as far as that is known: `pid 123 (certd issue -d example.org)`."""
        with suppress(OSError), opened(self._directory) as directory:
            text = (read(LOCK_FILE, at=directory, limit=4 * _LONGEST_HOLDER) or b"").decode("utf-8", "replace")
            pid, _, command = text.partition(" ")
            if pid.isascii() and pid.isdigit():
                shown = "".join(c for c in command if c.isprintable())
                return f"pid {pid} ({shown})" if shown else f"pid {pid}"
        return "another process"

    @asynccontextmanager
    async def held(self, clock: Clock, patience: float) -> AsyncIterator[None]:
        """Hold the lock for the block, after waiting up to *patience* seconds for it.

        Raises TryLater when somebody else holds it for longer, StorageError where it cannot be had at all.
        """
        deadline = clock.now() + timedelta(seconds=patience)
        while not self.try_acquire():
            if clock.now() >= deadline:
                raise TryLater(
                    f"{self._directory}: held by {self.holder()}",
                    until=None,
                    hint="wait until it is done, or give another --state-dir",
                )
            await clock.sleep_until(min(clock.now() + _POLL, deadline))
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Let the next one in; fine if it is not held. The file stays: removing it would race with who opens it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open_locked(path: Path) -> int | None:
    """A descriptor of the lock file with the lock on it; None while somebody else has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.lstat()):
                    return descriptor
            os.close(descriptor)  # somebody removed the file in between: a lock on it would keep nobody out
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
