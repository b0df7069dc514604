"""`quarantine/<name>/<order>.pem`: odd chains, kept for a person to look at and never served (invariant 3)."""

import os
import re
from contextlib import suppress
from pathlib import Path

from certd.files.access import PRIVATE
from certd.files.faults import told
from certd.files.writing import opened, opened_or_made, sweep, swept_on_error, write_new
from certd.model.errors import StorageError
from certd.model.identifiers import CertName, file_name
from certd.model.steps import Step, step

QUARANTINE = "quarantine"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", re.ASCII)


def keep_odd_chain(root: Path, name: CertName, order_id: str, chain_pem: str) -> Path:
    """Write what the CA sent for an order; a later download of the same order replaces it. Raises StorageError."""
    component, target = file_name(name), _file_of(order_id)
    path = root / QUARANTINE / component / target
    with (
        told(path, "keep the odd chain"),
        opened(root) as top,
        opened_or_made(QUARANTINE, at=top, access=PRIVATE) as (all_names, _),
        opened_or_made(component, at=all_names, access=PRIVATE) as (directory, _),
    ):
        staged = _staged(target)
        sweep(staged, at=directory)
        with swept_on_error(staged, at=directory):
            write_new(staged, chain_pem.encode("utf-8"), at=directory, access=PRIVATE, mode=0o600)
            with step(Step.CHAIN_KEPT):
                os.rename(staged, target, src_dir_fd=directory, dst_dir_fd=directory)
                os.fsync(directory)
    return path


def forget_odd_chain(root: Path, name: CertName, order_id: str) -> None:
    """Delete what `keep_odd_chain` wrote, or died writing; fine if it wrote nothing. Raises StorageError."""
    directory = root / QUARANTINE / file_name(name)
    with told(directory, "remove an odd chain"), suppress(FileNotFoundError), opened(directory) as opened_directory:
        for file in (_file_of(order_id), _staged(_file_of(order_id))):
            sweep(file, at=opened_directory)


def _file_of(order_id: str) -> str:
    if not _LABEL.fullmatch(order_id):
        raise StorageError(f"{order_id[:40]!r} cannot name a file")
    return f"{order_id}.pem"


def _staged(target: str) -> str:
    return f".{target}.new"
