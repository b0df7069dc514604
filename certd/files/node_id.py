"""`node-id`: what this state directory's node is called in the ledger, chosen once."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from certd.files.access import PRIVATE
from certd.files.faults import told
from certd.files.writing import opened, read, sweep, swept_on_error, write_new
from certd.model.errors import StorageError
from certd.model.steps import Step, step

NODE_FILE = "node-id"
_ID = re.compile(rb"[0-9a-f]{8,64}", re.ASCII)


def node_id(root: Path, new_id: Callable[[], str]) -> str:
    """The id below *root*, made with *new_id* the first time. The caller holds the state directory's lock.

    Raises StorageError: not readable, not writable, not an id.
    """
    path = root / NODE_FILE
    with told(path, "read or write the node's id"), opened(root) as top:
        found = read(NODE_FILE, at=top, limit=256)
        if found is None and not path.is_symlink() and not path.exists():
            found = new_id().encode("ascii")
            staged = f".{NODE_FILE}.new"
            sweep(staged, at=top)
            with swept_on_error(staged, at=top):
                write_new(staged, found + b"\n", at=top, access=PRIVATE, mode=0o600)
                with step(Step.NODE_ID_STORED):
                    os.rename(staged, NODE_FILE, src_dir_fd=top, dst_dir_fd=top)
                    os.fsync(top)
    text = (found or b"").strip()
    if not _ID.fullmatch(text):
        raise StorageError(f"{path}: does not hold a node id", hint="remove it; certd chooses another one")
    return text.decode("ascii")
