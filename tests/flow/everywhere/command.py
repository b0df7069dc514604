"""`certd` as a person runs it: what was typed, what came of it. In this process for speed, or as one of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from certd.cli.main import cli

PROGRAM = Path(sys.executable).with_name("certd")
LIMIT = 50.0  # seconds; a test has 60


@dataclass(frozen=True, slots=True)
class Ran:
    """Exit status, and what was printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def run_here(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Ran:
    capsys.readouterr()
    status = cli(list(arguments))
    printed = capsys.readouterr()
    return Ran(status, printed.out, printed.err)


def run_process(arguments: Sequence[str], pass_fds: Sequence[int] = ()) -> Ran:
    done = subprocess.run(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        pass_fds=tuple(pass_fds),
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
