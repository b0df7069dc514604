"""What importing the client costs and brings along: a one-shot command pays it each time."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return set(done.stdout.split())


def test_the_client_brings_none_of_the_libraries_that_it_does_without() -> None:
    """B1: acme.messages and acme.client pull requests, urllib3 and pyOpenSSL, 387 modules."""
    loaded = modules_after("import certd.ca.client")
    unwanted = {
        "requests",
        "urllib3",
        "OpenSSL",
        "acme.messages",
        "acme.client",
        "acme.challenges",
        "dns",
        "aiohttp.web",
    }
    assert loaded & unwanted == set()


def test_the_id_of_a_certificate_needs_no_http() -> None:
    """`cert_id` is a pure function, used where there is no event loop."""
    assert "aiohttp" not in modules_after("import certd.ca.cert_id")


def test_only_wire_names_acme_and_josepy() -> None:
    """The import contract holds it, too; here the text is looked at."""
    for file in (ROOT / "certd").rglob("*.py"):
        imports = [line for line in file.read_text().splitlines() if line.startswith(("import ", "from "))]
        named = [line for line in imports if line.split()[1].split(".")[0] in {"acme", "josepy"}]
        assert not named or file == ROOT / "certd/ca/wire.py", f"{file}: {named}"
