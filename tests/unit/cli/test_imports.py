"""What a command loads before it does anything: a timer that finds nothing to do pays for it every time.

Measured beside a Python that does nothing (bench/README.md); here it is held by name.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = {"aiohttp", "acme", "josepy", "dns", "asyncio", "cryptography"}

RUN = """
import sys
from certd.__main__ import main
sys.argv = ["certd", *sys.argv[1:]]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def run(code: str, *arguments: str) -> tuple[str, set[str]]:
    """What was printed, and the top-level modules that were loaded at the end."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    modules = done.stderr.splitlines()[-1].split()
    return done.stdout, {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["issue", "--help"], ["account", "--help"]])
def test_help_loads_nothing_that_talks(arguments: list[str]) -> None:
    _, loaded = run(RUN, *arguments)
    assert loaded & HEAVY == set()


def test_nothing_due_is_found_without_a_loop_and_without_x509(tmp_path: Path) -> None:
    """Design 5: a synchronous path over columns of the store. The run that issues shows that the measure works."""
    issue = ["issue", "--server", "dev", "-d", "due.localhost", "--state-dir", str(tmp_path / "state")]
    printed, loaded = run(RUN, *issue)
    assert printed.startswith("issued")
    assert loaded >= HEAVY
    printed, loaded = run(RUN, *issue)
    assert printed.startswith("up to date")
    assert loaded & HEAVY == set()


def test_issuing_loads_dns_for_dns_01_only() -> None:
    """35 ms that a certificate over http-01 does not need."""
    code = "import certd.app.issue, sys; print(*sys.modules, file=sys.stderr)"
    _, loaded = run(code)
    assert loaded >= {"aiohttp", "acme"}
    assert loaded & {"dns", "certd_providers"} == set()
