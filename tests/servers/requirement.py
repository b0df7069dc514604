"""What a test needs from the machine, and the one place that decides between a skip and a failure.

Whatever finds a program answers with its path or with `Missing` and the reason. A test passes that to `require`: it is
skipped with the reason on a machine that lacks the program, and fails under CERTD_TEST_STRICT=1, which is what CI sets.
"""

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Missing:
    """Why something is not to be had, in words that say what would bring it."""

    reason: str


def strict() -> bool:
    return os.environ.get("CERTD_TEST_STRICT") == "1"


def require(found: T | Missing) -> T:
    """*found*, or the end of this test: skipped, and under CERTD_TEST_STRICT=1 failed."""
    if not isinstance(found, Missing):
        return found
    if strict():
        pytest.fail(f"missing, and CERTD_TEST_STRICT=1 allows no skip: {found.reason}", pytrace=False)
    pytest.skip(found.reason)


def program(name: str, brought_by: str) -> Path | Missing:
    """A program on PATH or where the system keeps its own; *brought_by* is the Debian package that has it."""
    path = os.environ.get("PATH", os.defpath)
    found = shutil.which(name, path=os.pathsep.join([path, "/usr/local/sbin", "/usr/sbin", "/sbin"]))
    return Path(found) if found else Missing(f"{name} is not installed (Debian package {brought_by})")


def root() -> bool | Missing:
    """For what only root can do: ports 80 and 443, network namespaces, mounts."""
    return True if os.geteuid() == 0 else Missing("needs root (ports below 1024, mounts)")


def ipv6() -> bool | Missing:
    """For what listens on `::1`; kernels and containers may be without."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return Missing("this host's loopback has no ::1")
    return True
