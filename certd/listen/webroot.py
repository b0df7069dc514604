"""http-01 through somebody else's server: a proof is a file `DIR/.well-known/acme-challenge/TOKEN`.

The webroot may belong to people less trusted than certd, who may swap anything in it at any time: below it every
component is opened relative to the one before and never through a symbolic link, and a file is only ever replaced by
rename, never written through. So nothing is written outside, whatever they race with.

Files are published for minutes and their rows are the truth, so nothing here is fsynced.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from certd.listen.http01 import TOKEN
from certd.model.errors import ListenError
from certd.model.proofs import Proof
from certd.threads import in_thread

_COMPONENTS = (".well-known", "acme-challenge")
# O_PATH: a directory that may be searched but not listed is enough to work in.
_OPEN_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # O_NONBLOCK: a FIFO must not hold us
_DIRECTORY_MODE = 0o755
_FILE_MODE = 0o644
_TRIES = 3
_NOT_OURS = frozenset({errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES})  # gone, a link, a socket, somebody's


class Webroot:
    """One directory that a web server serves for port 80. All calls are safe to repeat, and work in a thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def publish(self, proofs: Iterable[Proof]) -> None:
        """Write the files, readable to all whatever the umask; make missing directories. Raises ListenError."""
        # To its end, or a publication that was given up could write its file after the withdrawal that followed.
        await in_thread(self._each, _write, tuple(proofs), make=True)

    async def withdraw(self, proofs: Iterable[Proof]) -> None:
        """Remove the files that hold exactly these proofs; absent, or of other content, is fine. Raises ListenError.

        The directories stay, even empty and even if we made them: another client may be about to write into them, and
        after a restart nobody knows who made them.
        """
        await in_thread(self._each, _remove, tuple(proofs), make=False)

    async def missing(self, proofs: Iterable[Proof]) -> tuple[Proof, ...]:
        """Those of *proofs* whose file is not there, not whole, or not a file. Raises ListenError."""
        tokens = {proof: _token(proof) for proof in proofs}

        def look() -> tuple[Proof, ...]:
            with _challenge_directory(self.directory, make=False) as at:
                return tuple(proof for proof, token in tokens.items() if at is None or not _holds(at, token, proof))

        return await in_thread(look)

    def _each(self, act: Callable[[int, str, Proof], None], proofs: tuple[Proof, ...], *, make: bool) -> None:
        for proof in proofs:
            _token(proof)  # before anything is touched
        with _challenge_directory(self.directory, make=make) as at:
            if at is None:
                return
            for proof in proofs:
                try:
                    act(at, _token(proof), proof)
                except OSError as why:
                    raise _refused(self.directory.joinpath(*_COMPONENTS, _token(proof)), why) from why


def _token(proof: Proof) -> str:
    # R43: checked where it becomes a path as well, whoever checked it before.
    if not TOKEN.fullmatch(proof.name):
        raise ListenError(f"{proof.identifier}: the token of its http-01 challenge cannot be a file name")
    return proof.name


@contextmanager
def _challenge_directory(webroot: Path, *, make: bool) -> Iterator[int | None]:
    """A descriptor of the challenge directory; None if it is not there and shall not be made."""
    path, at = webroot, -1
    with ExitStack() as opened:
        try:
            # The webroot itself is what the operator says, symbolic links included.
            at = os.open(webroot, _OPEN_DIRECTORY & ~os.O_NOFOLLOW)
            opened.callback(os.close, at)
            for name in _COMPONENTS:
                path = path / name
                if make:
                    _make_directory(at, name)
                at = os.open(name, _OPEN_DIRECTORY, dir_fd=at)
                opened.callback(os.close, at)
        except FileNotFoundError as why:
            if make:
                raise _refused(path, why) from why
            at = -1
        except OSError as why:
            raise _refused(path, why) from why
        yield at if at >= 0 else None


def _make_directory(at: int, name: str) -> None:
    """Make *name* below *at* with mode 0755 whatever the umask; if it is there, leave it as it is."""
    try:
        os.mkdir(name, _DIRECTORY_MODE, dir_fd=at)
    except FileExistsError:
        return
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        found = os.fstat(descriptor)
        # Somebody may have moved another directory here since mkdir, and opening up that one could lay bare what is in
        # it: only an empty directory of our own is ours.
        empty = not os.listdir(descriptor)  # noqa: PTH208 - a Path is no descriptor
        if found.st_mode & 0o777 != _DIRECTORY_MODE and found.st_uid == os.geteuid() and empty:
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & 0o7000 | _DIRECTORY_MODE)
    finally:
        os.close(descriptor)


def _write(at: int, token: str, proof: Proof) -> None:
    temporary = _temporary(token)
    descriptor = _create(at, temporary)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), _FILE_MODE)
            file.write(proof.value.encode("ascii"))
        os.rename(temporary, token, src_dir_fd=at, dst_dir_fd=at)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=at)
        raise


def _temporary(token: str) -> str:
    # Always the same, so that what a crash left behind is found again; O_EXCL makes a name safe, not its randomness.
    return f".{token}.certd"


def _create(at: int, name: str) -> int:
    for _ in range(_TRIES):
        try:
            return os.open(name, _CREATE, _FILE_MODE, dir_fd=at)
        except FileExistsError:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=at)
    raise FileExistsError(errno.EEXIST, "somebody keeps putting something in the temporary file's place")


def _remove(at: int, token: str, proof: Proof) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_temporary(token), dir_fd=at)
    if _holds(at, token, proof):
        with suppress(FileNotFoundError):
            os.unlink(token, dir_fd=at)


def _holds(at: int, token: str, proof: Proof) -> bool:
    wanted = proof.value.encode("ascii")
    try:
        descriptor = os.open(token, _READ, dir_fd=at)
    except OSError as why:
        if why.errno in _NOT_OURS:
            return False
        raise
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and os.read(descriptor, len(wanted) + 1) == wanted
    finally:
        os.close(descriptor)


def _refused(path: Path, why: OSError) -> ListenError:
    said = why.strerror or str(why)
    match why.errno:
        case errno.ENOENT:
            return ListenError(f"{path}: cannot publish http-01 answers: there is no such directory")
        case errno.ELOOP | errno.ENOTDIR:
            return ListenError(
                f"{path}: cannot publish http-01 answers: this is no directory, or a symbolic link",
                hint="links below the webroot are not followed, because they could lead anywhere:"
                " give --webroot the directory that the server really reads",
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return ListenError(
                f"{path}: cannot publish http-01 answers: {said.lower()}",
                hint=f"certd runs as user id {os.geteuid()}, which must be able to write there",
            )
        case _:
            return ListenError(f"{path}: cannot publish http-01 answers: {said.lower()}")
