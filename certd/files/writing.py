"""Files and directories written so that no reader and no crash sees a half: the only place that opens for writing.

Everything goes through directory descriptors and O_NOFOLLOW: a link that somebody puts in the way is an error, never
followed. Raises OSError; callers add which path it was. Nothing here depends on the umask.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from certd.files.access import Access, apply

_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(path: str | Path, *, at: int | None = None, follow: bool = True) -> Iterator[int]:
    """A descriptor of an existing directory, below *at* if given."""
    descriptor = os.open(path, _READ_DIRECTORY | (0 if follow else os.O_NOFOLLOW), dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_directory(name: str, *, at: int, access: Access) -> bool:
    """Make *name* below *at* unless it is there; durable on return. True if it was made."""
    made = _make(name, at, access)
    if made:
        os.fsync(at)
    return made


def _make(name: str, at: int, access: Access) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=at)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a directory", name) from None
        return False
    with opened(name, at=at, follow=False) as made:
        apply(access, made, access.directory_mode)
    return True


@contextmanager
def opened_or_made(name: str, *, at: int, access: Access) -> Iterator[tuple[int, bool]]:
    """A descriptor of the directory *name* below *at*, and whether it was made just now.

    If so it is durable at the end of the block: what was synced within it has brought its entry to the disk already,
    so that this costs nothing then, and a commit of the file system's journal before.
    """
    try:
        descriptor, is_new = os.open(name, _READ_DIRECTORY | os.O_NOFOLLOW, dir_fd=at), False
    except FileNotFoundError:
        is_new = _make(name, at, access)
        descriptor = os.open(name, _READ_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    try:
        yield descriptor, is_new
        if is_new:
            os.fsync(at)
    finally:
        os.close(descriptor)


def write_new(name: str, data: bytes, *, at: int, access: Access, mode: int, durable: bool = True) -> None:
    """Create *name* below *at*, which must not be there: owner and mode before the first byte, fsync after the last."""
    descriptor = _written(name, data, at, access, mode)
    try:
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all_new(files: Iterable[tuple[str, bytes, int]], *, at: int, access: Access) -> None:
    """`write_new` for several (name, data, mode): all are on their way to the disk before the first is waited for.

    Synced one by one each file costs a commit of the file system's journal; so they share one.
    """
    with ExitStack() as stack:
        descriptors = []
        for name, data, mode in files:
            descriptors.append(_written(name, data, at, access, mode))
            stack.callback(os.close, descriptors[-1])
        for descriptor in descriptors:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # to Linux: begin to write; a hint, no promise
        for descriptor in descriptors:
            os.fsync(descriptor)


def _written(name: str, data: bytes, at: int, access: Access, mode: int) -> int:
    # 0600 at the moment of birth, whatever mode follows: a wider one is given only once owner and group are right.
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=at)
    try:
        apply(access, descriptor, mode)
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read(name: str, *, at: int, limit: int) -> bytes | None:
    """The content of a regular file of at most *limit* bytes; None for anything else, and for nothing."""
    try:
        # O_NONBLOCK: a FIFO in the place of a file must not hold us.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = file.read(limit + 1)
    return data if len(data) <= limit else None


def entries(directory: int) -> list[str]:
    """The names in an open directory."""
    return os.listdir(directory)


def exists(name: str, *, at: int) -> bool:
    """Whether anything stands there, a dangling link included."""
    try:
        os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def sweep(name: str, *, at: int) -> None:
    """Remove *name* below *at*, a file or a flat directory of ours; fine if it is not there."""
    try:
        os.unlink(name, dir_fd=at)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        with opened(name, at=at, follow=False) as directory:
            for entry in entries(directory):
                os.unlink(entry, dir_fd=directory)
        os.rmdir(name, dir_fd=at)


@contextmanager
def swept_on_error(name: str, *, at: int) -> Iterator[None]:
    """If the block fails, free what it had written to *name*: on a full disk that is what others need."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            sweep(name, at=at)
        raise
