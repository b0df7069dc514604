"""Stand-ins for PEM files: every file of one generation says which it is, so that a mixed pair can be seen."""

import os
from pathlib import Path

from certd.files.generations import write_generation
from certd.files.live import switch_live
from certd.files.pems import Pems
from certd.model.identifiers import CertName

NAME = CertName("example.org")


def pems(number: int, *, key: bool = True, size: int = 900) -> Pems:
    def block(what: str, more: int) -> bytes:
        return f"{what} of generation {number}\n".encode() + b"A" * more + b"\n"

    return Pems(block("leaf", 2 * size), block("chain", 4 * size), block("key", size // 4) if key else None)


def install(root: Path, number: int) -> None:
    write_generation(root, NAME, number, pems(number))
    switch_live(root, NAME, number)


def contents(directory: Path) -> dict[str, bytes]:
    """All files in a directory, through one descriptor, as a careful server reads them."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = {}
        for name in os.listdir(descriptor):  # noqa: PTH208 - pathlib knows no descriptors
            file = os.open(name, os.O_RDONLY, dir_fd=descriptor)
            with os.fdopen(file, "rb") as stream:
                found[name] = stream.read()
        return found
    finally:
        os.close(descriptor)


def expected(number: int, **options: bool) -> dict[str, bytes]:
    return {file.name: file.data for file in pems(number, **options).files()}
