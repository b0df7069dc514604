"""Folders for tests that write a lot, and for whom it does not matter what a disk does with it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, where fsync costs nothing; *otherwise* where there is none."""
    if not os.access(MEMORY, os.W_OK):
        yield otherwise
        return
    with tempfile.TemporaryDirectory(prefix="certd-test-", dir=MEMORY) as folder:
        yield Path(folder)
