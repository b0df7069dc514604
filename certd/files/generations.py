"""`generations/<name>/<n>/`: the files of one generation, immutable, and rebuilt from the ledger's rows at any time.

Staged in a directory beside, each file fsynced, then renamed into place in one step: a generation is there whole or not
at all (invariant 2). What a crash leaves behind begins with a dot and is swept by the next write. Nothing here ever
overwrites a generation, or deletes one that `live/` shows; the caller holds the state directory's lock.
"""

import itertools
import logging
import os
from collections.abc import Set as AbstractSet
from pathlib import Path

from certd.files.access import PRIVATE, Access, apply
from certd.files.faults import told
from certd.files.live import GENERATIONS, live_number, parse_number
from certd.files.pems import Pems
from certd.files.writing import entries, exists, opened, opened_or_made, read, sweep, swept_on_error, write_all_new
from certd.model.identifiers import CertName, file_name
from certd.model.steps import Step, step

log = logging.getLogger(__name__)

_STAGED, _REMOVED = ".staged-", ".removed-"


def write_generation(root: Path, name: CertName, number: int, pems: Pems, access: Access = PRIVATE) -> Path:
    """Write the files of generation *number* of *name* below *root*, durably; returns their directory.

    Safe to repeat, at any point of an earlier try. What is there and holds the same bytes stays untouched, with the
    owner and mode an operator may have given it. What is there and differs (changed by hand, or another ledger's) is
    set aside as `<n>.aside-<k>`, never deleted. Raises StorageError, ConfigError (the name).
    """
    component = file_name(name)
    directory = root / GENERATIONS / component / str(number)
    with (
        told(directory, "write the certificate's files"),
        opened(root) as top,
        opened_or_made(GENERATIONS, at=top, access=access) as (all_names, _),
        opened_or_made(component, at=all_names, access=access) as (parent, is_new),
    ):
        _write(parent, str(number), pems, access, is_empty=is_new)
    return directory


def _write(parent: int, number: str, pems: Pems, access: Access, *, is_empty: bool) -> None:
    if not is_empty:
        _sweep_leftovers(parent)
    is_there = not is_empty and exists(number, at=parent)
    if is_there and _holds(parent, number, pems):
        os.fsync(parent)  # an earlier try may have died between its rename and this
        return
    staged = f"{_STAGED}{number}"
    with swept_on_error(staged, at=parent), step(Step.FILES_STAGED):
        os.mkdir(staged, 0o700, dir_fd=parent)
        with opened(staged, at=parent, follow=False) as directory:
            files = [(file.name, file.data, access.file_mode(is_secret=file.is_secret)) for file in pems.files()]
            write_all_new(files, at=directory, access=access)
            apply(access, directory, access.directory_mode)
            os.fsync(directory)
    with step(Step.FILES_RENAMED):
        if is_there:
            _set_aside(parent, number)
        os.rename(staged, number, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)


def _sweep_leftovers(parent: int) -> None:
    for entry in entries(parent):
        if entry.startswith((_STAGED, _REMOVED)):
            sweep(entry, at=parent)


def _holds(parent: int, number: str, pems: Pems) -> bool:
    try:
        with opened(number, at=parent, follow=False) as directory:
            return all(read(file.name, at=directory, limit=len(file.data)) == file.data for file in pems.files())
    except OSError:
        return False


def _set_aside(parent: int, number: str) -> None:
    aside = next(name for k in itertools.count(1) if not exists(name := f"{number}.aside-{k}", at=parent))
    os.rename(number, aside, src_dir_fd=parent, dst_dir_fd=parent)
    log.warning("files of a generation were not what the ledger has; set aside", extra={"now": aside})


def prune(root: Path, name: CertName, keep: AbstractSet[int]) -> tuple[int, ...]:
    """Delete the files of all generations of *name* but *keep* and the one that `live/` shows; returns the deleted.

    Safe to repeat. What was set aside, and what certd did not make, stays; so does a generation above all of these: it
    is being written at this moment, or a ledger wrote it that a backup has replaced. Raises StorageError.
    """
    component = file_name(name)
    directory = root / GENERATIONS / component
    shown = live_number(root, name)
    with told(directory, "remove old generations"):
        try:
            with opened(directory) as parent:
                _sweep_leftovers(parent)
                stays = keep | ({shown} if shown is not None else set())
                newest = max(stays, default=0)
                numbers = (parse_number(entry) for entry in entries(parent))
                old = sorted(n for n in numbers if n is not None and n < newest and n not in stays)
                for number in old:
                    # Out of sight in one step, so that no reader meets a half of it.
                    os.rename(str(number), f"{_REMOVED}{number}", src_dir_fd=parent, dst_dir_fd=parent)
                    sweep(f"{_REMOVED}{number}", at=parent)
        except FileNotFoundError:
            return ()
    return tuple(old)
