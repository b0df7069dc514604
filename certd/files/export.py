"""`--out DIR`: copies of the newest generation for a server, with its owner, group and mode.

Each file is replaced in one step; between two of them a reader that opens two paths can meet a mixed pair, which the
reload after the copy ends; `bundle.pem` is never mixed. Other files there stay untouched; so does, with `--csr`, a
privkey.pem, which is not ours then.
"""

import os
import stat
from contextlib import ExitStack
from pathlib import Path

from certd.files.access import PRIVATE, Access
from certd.files.faults import told
from certd.files.pems import PemFile, Pems
from certd.files.writing import make_directory, opened, read, sweep, swept_on_error, write_all_new, write_new
from certd.model.errors import StorageError
from certd.model.steps import Step, step

_NAMES = ("privkey.pem", "bundle.pem", "cert.pem", "chain.pem", "fullchain.pem")
_CHECK = ".certd-check"


def check_export(directory: Path, access: Access = PRIVATE) -> None:
    """Find out, before the CA is asked, whether `export` will work: by doing all of it but the files (SE2).

    Makes the directory if it is missing. Raises StorageError: not writable, owner or group cannot be set, or
    something else stands where a file will go.
    """
    with told(directory, "make the directory"):
        _make(directory, access)
    with told(directory, "write files with this owner, group and mode"), opened(directory) as out:
        sweep(_CHECK, at=out)
        with swept_on_error(_CHECK, at=out):
            write_new(_CHECK, b"", at=out, access=access, mode=access.key_mode)
        sweep(_CHECK, at=out)
        for name in _NAMES:
            if _is_directory(name, out):
                raise StorageError(f"{directory / name}: a directory stands where the file should go", hint="remove it")


def export(directory: Path, pems: Pems, access: Access = PRIVATE) -> tuple[str, ...]:
    """Copy *pems* into *directory*; returns the names of the files that changed, none when all were right already.

    All are written beside, then switched: the key first, `fullchain.pem` last. A link in the place of a file is
    replaced, never followed. Safe to repeat. Raises StorageError.
    """
    with told(directory, "write the copies"):
        _make(directory, access)
        with opened(directory) as out, ExitStack() as staged:
            stale = [file for file in pems.files() if not _is_right(file, out, access)]
            for file in stale:
                sweep(_beside(file), at=out)
                staged.enter_context(swept_on_error(_beside(file), at=out))
            files = [(_beside(file), file.data, access.file_mode(is_secret=file.is_secret)) for file in stale]
            write_all_new(files, at=out, access=access)
            with step(Step.OUT_COPIED):
                for file in stale:
                    os.rename(_beside(file), file.name, src_dir_fd=out, dst_dir_fd=out)
                os.fsync(out)  # also without changes: the run that made them may have died here
    return tuple(file.name for file in stale)


def _make(directory: Path, access: Access) -> None:
    if directory.is_dir():
        return
    directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with opened(directory.parent) as parent:
        make_directory(directory.name, at=parent, access=access)


def _beside(file: PemFile) -> str:
    return f".{file.name}.certd-new"


def _is_directory(name: str, out: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=out, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _is_right(file: PemFile, out: int, access: Access) -> bool:
    """Content, mode and, where they were asked for, owner and group."""
    if read(file.name, at=out, limit=len(file.data)) != file.data:
        return False
    seen = os.stat(file.name, dir_fd=out, follow_symlinks=False)
    return (
        stat.S_IMODE(seen.st_mode) == access.file_mode(is_secret=file.is_secret)
        and access.owner in {None, seen.st_uid}
        and access.group in {None, seen.st_gid}
    )
