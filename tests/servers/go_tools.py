"""Test programs written in Go, built from the modules in `tests/tools/`, each version pinned there with its sums.

A build is kept in `.cache/go-tools/` under the hash of its module files and of the compiler's version, so it happens
once; several test processes wait for the first one's. Compiles with the Go on PATH, or with the one in `.venv-go` that
`make servers` puts there where the machine's own is too old for `tool` directives.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.requirement import Missing

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "tests" / "tools"
CACHE = ROOT / ".cache" / "go-tools"
BUILD_LIMIT = 1200.0


def go_tool(module: str, name: str) -> Path | Missing:
    """Program *name* of tests/tools/*module*, built now if it never was (Pebble: half a minute, the others minutes)."""
    folder = build(module)
    if isinstance(folder, Missing):
        return folder
    found = folder / name
    return found if found.exists() else Missing(f"{name}: no program of tests/tools/{module}")


def built_go_tool(module: str, name: str) -> Path | Missing:
    """The same for modules whose build takes minutes: only what `make servers` has built."""
    go = _go(module)
    if isinstance(go, Missing):
        return go
    found = _folder(module, go) / name
    return found if found.exists() else Missing(f"{name} is not built: make servers")


def build(module: str) -> Path | Missing:
    """The folder with the programs of tests/tools/*module*."""
    go = _go(module)
    if isinstance(go, Missing):
        return go
    folder = _folder(module, go)
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{module}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder
        return _install(module, go, folder)


def _install(module: str, go: Path, folder: Path) -> Path | Missing:
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{module}-") as unfinished:
        try:
            done = subprocess.run(
                [go, "install", "-trimpath", "tool"],
                cwd=MODULES / module,
                env=_environment() | {"GOBIN": unfinished, "CGO_ENABLED": "0", "GOWORK": "off"},
                capture_output=True,
                text=True,
                timeout=BUILD_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Missing(f"tests/tools/{module}: not built within {BUILD_LIMIT:.0f} s")
        if done.returncode:
            return Missing(f"tests/tools/{module} does not build: {' '.join(done.stderr.split())[-400:]}")
        shutil.copytree(unfinished, folder.with_suffix(".new"), dirs_exist_ok=True)
    folder.with_suffix(".new").rename(folder)
    return folder


def _folder(module: str, go: Path) -> Path:
    digest = hashlib.sha256(_version(go).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((MODULES / module / name).read_bytes())
    return CACHE / f"{module}-{digest.hexdigest()[:16]}"


def _go(module: str) -> Path | Missing:
    """A Go that is as new as the module asks for (1.24 is the first with `tool` directives)."""
    asked = re.search(r"^go (\d+)\.(\d+)", (MODULES / module / "go.mod").read_text(), re.MULTILINE)
    assert asked, f"tests/tools/{module}/go.mod has no go line"
    candidates = [shutil.which("go"), "/usr/local/go/bin/go", *(ROOT / ".venv-go").glob("bin/go")]
    for found in (Path(each) for each in candidates if each):
        number = re.match(r"go(\d+)\.(\d+)", _version(found)) if found.exists() else None
        if number and (int(number[1]), int(number[2])) >= (int(asked[1]), int(asked[2])):
            return found
    return Missing(f"no Go {asked[1]}.{asked[2]} or newer for tests/tools/{module}: make servers brings one")


def _version(go: Path) -> str:
    done = subprocess.run(
        [go, "env", "GOVERSION"], env=_environment(), capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """GOTOOLCHAIN: the Go that is here, none that it would fetch. HOME, which may be unset: its caches lie there."""
    return {"HOME": str(Path.home())} | os.environ | {"GOTOOLCHAIN": "local"}
