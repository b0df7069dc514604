"""What a newcomer does first: clone, and run one command in a folder that has nothing yet."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.servers.go_tools import ROOT
from tests.servers.requirement import Missing, program, require

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def _run(folder: Path, *argv: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if name not in {"HOME", "VIRTUAL_ENV", "PYTHONPATH"}
    }
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_certd_runs_from_a_clone_whose_path_has_a_space_without_a_home(tmp_path: Path) -> None:
    """And a second set-up changes nothing, because nothing that it depends on changed."""
    require(ROOT if (ROOT / ".git").exists() else Missing("not a clone: no .git"))
    require(program("git", "git"))
    clone = tmp_path / "with a space" / "certd"
    clone.parent.mkdir()
    _run(tmp_path, "git", "clone", "--quiet", str(ROOT), str(clone))
    assert "requirements/run.txt" in _run(clone, "scripts/set-up", "run")
    assert _run(clone, ".venv/bin/python", "-c", "import certd; print(certd.__file__)").startswith(str(clone))
    assert "Usage: certd" in _run(clone, ".venv/bin/certd", "--help")
    assert _run(clone, "scripts/set-up", "run") == ""


def test_a_clone_that_was_moved_gets_its_environment_again(tmp_path: Path) -> None:
    """Programs in an environment name their interpreter by its full path."""
    require(ROOT if (ROOT / ".git").exists() else Missing("not a clone: no .git"))
    _run(tmp_path, "git", "clone", "--quiet", str(ROOT), "before")
    _run(tmp_path / "before", "scripts/set-up", "run")
    (tmp_path / "before").rename(tmp_path / "after")
    _run(tmp_path / "after", "scripts/set-up", "run")
    assert "Usage: certd" in _run(tmp_path / "after", ".venv/bin/certd", "--help")
