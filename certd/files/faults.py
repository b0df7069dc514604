"""What the operating system says when a file cannot be made, in words a person can act on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certd.model.errors import StorageError

_REASONS: dict[int, tuple[str, str]] = {
    errno.EACCES: ("permission denied", "run certd as the directory's owner, or give --state-dir or --out another one"),
    errno.EPERM: ("not permitted", "changing the owner of a file needs root; some file systems take no files at all"),
    errno.EROFS: ("the file system is read-only", "remount it, or choose a directory that can be written"),
    errno.ENOSPC: (
        "no space left (blocks or inodes)",
        "free some space and run the same command again: nothing is lost",
    ),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again: nothing is lost"),
    errno.ENOTDIR: ("a part of this path is not a directory", ""),
    errno.EISDIR: ("a directory stands where a file should be", "remove it, then run the same command again"),
    errno.EEXIST: ("something is there already", ""),
    errno.ELOOP: (
        "a symbolic link stands where certd follows none",
        "remove the link, then run the same command again",
    ),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "give a shorter --name"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n, LimitNOFILE=)"),
    errno.ENFILE: ("too many open files on this machine", ""),
    errno.EIO: ("the disk failed", "look at the kernel's log (dmesg)"),
    errno.ESTALE: ("the network file system lost it", "mount it again"),
}


def storage_error(path: Path, attempted: str, error: OSError) -> StorageError:
    """`PATH: cannot <attempted>: <reason>` with a hint; the system's own word where the table has none."""
    reason, hint = _REASONS.get(error.errno or 0, (error.strerror or str(error), ""))
    return StorageError(f"{path}: cannot {attempted}: {reason}", hint=hint)


@contextmanager
def told(path: Path, attempted: str) -> Iterator[None]:
    """Turn an OSError in the block into the StorageError that names *path*."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, attempted, error) from error
