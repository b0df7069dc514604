"""The units in `systemd/`: systemd reads them without a word, and says how exposed they leave a service."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.go_tools import ROOT
from tests.servers.requirement import program, require

UNITS = {
    "certd-issue@.service": "certd-issue@example.service",
    "certd-issue@.timer": "certd-issue@example.timer",
    "certd-reload@.path": "certd-reload@nginx.path",
    "certd-reload@.service": "certd-reload@nginx.service",
}
MOST_EXPOSED = 15  # tenths, as --threshold takes them: 1.5 of 10


def _analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    argv = [str(require(program("systemd-analyze", "systemd"))), *arguments]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """As instances, with programs that are on every machine in the place of those that may not be installed."""
    for template, instance in UNITS.items():
        text = (ROOT / "systemd" / template).read_text().replace("/usr/bin/certd ", f"{shutil.which('true')} ")
        (tmp_path / instance).write_text(text)
    (tmp_path / "nginx.service").write_text("[Service]\nExecStart=/bin/true\nExecReload=/bin/true\n")
    return tmp_path


@pytest.mark.parametrize("instance", UNITS.values())
def test_systemd_has_nothing_to_say_about_a_unit(units: Path, instance: str) -> None:
    done = _analyze("verify", f"./{instance}", folder=units)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_job_is_as_confined_as_its_ports_allow(units: Path) -> None:
    done = _analyze(
        "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "./certd-issue@example.service", folder=units
    )
    assert done.returncode == 0, done.stdout[-500:]


def test_each_unit_file_is_tried() -> None:
    assert {path.name for path in (ROOT / "systemd").iterdir()} == set(UNITS)
