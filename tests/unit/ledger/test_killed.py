"""CR6: a writer is killed at any instant, and nothing that it was told is done gets lost."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.timeout(900)  # a busy machine takes its time to start processes
@pytest.mark.parametrize(("rounds", "seed"), [(16, 1), pytest.param(1000, 2, marks=pytest.mark.long)])
def test_a_killed_writer_loses_nothing_and_leaves_the_ledger_whole(tmp_path: Path, rounds: int, seed: int) -> None:
    argv = [sys.executable, "-m", "tests.unit.ledger.killed", str(tmp_path), str(rounds), str(seed)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(rf"{rounds} killed, (\d+) commits kept\n", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) > 5 * rounds
