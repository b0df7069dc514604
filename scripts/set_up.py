"""Virtual environments from hash-locked requirements: made when missing, mended when a lock changed, else left alone.

Runs with any Python 3.11 or newer and the standard library only. What an environment holds stands in its `.certd`
folder as digests: of each lock that was installed, and of what an editable install freezes of
pyproject.toml (entry points).
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = {"run": ("run", "build"), "test": ("test",), "dev": ("dev",)}  # each also satisfies those before it
PIP = ("-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
LIMIT = 1200  # seconds for one step


class NotSetUp(Exception):
    """What stopped it, for a person."""


def main(arguments: list[str]) -> None:
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / "set-up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once
        match arguments:
            case ["tool", name]:
                venv = made_venv(ROOT / f".venv-{name}", python=None)
                install_locks(venv, name, (name,))
            case [("run" | "test" | "dev") as layer]:
                set_up(layer, made_venv(ROOT / ".venv", python=None))
            case [("run" | "test" | "dev") as layer, venv, python]:
                set_up(layer, made_venv(ROOT / venv, python))
            case _:
                raise NotSetUp("usage: set-up run|test|dev [VENV PYTHON] | set-up tool NAME")


def set_up(layer: str, venv: Path) -> None:
    names = list(LAYERS)
    if not any(stamped(venv, each, locks_digest(LAYERS[each])) for each in names[names.index(layer) :]):
        install_locks(venv, layer, LAYERS[layer])
    frozen = frozen_digest()
    if not stamped(venv, "certd", frozen):
        say(f"{venv.name}: certd, editable")
        run(venv / "bin/python", *PIP, "install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        stamp(venv, "certd", frozen)


def made_venv(venv: Path, python: str | None) -> Path:
    """*venv*, made with *python* (None: the best that is found) unless it works and lies where it was made."""
    if works(venv) and (stamped(venv, "place", str(venv)) or not (venv / ".certd").exists()):
        (venv / ".certd").mkdir(exist_ok=True)
        stamp(venv, "place", str(venv))
        return venv
    python = python or output("scripts/find-python").strip()
    say(f"{venv.name}: {output(python, '-V').strip()}")
    ensure_venvs_work(python)
    run(python, "-I", "-m", "venv", "--clear", str(venv))
    (venv / ".certd").mkdir()
    stamp(venv, "place", str(venv))
    return venv


def works(venv: Path) -> bool:
    done = (
        subprocess.run([venv / "bin/python", *PIP, "--version"], capture_output=True, timeout=60, check=False)
        if (venv / "bin/python").exists()
        else None
    )
    return done is not None and done.returncode == 0


def ensure_venvs_work(python: str) -> None:
    if not subprocess.run([python, "-I", "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode:
        return
    minor = output(python, "-I", "-c", "import sys; print('python3.%d-venv' % sys.version_info[1])").strip()
    if subprocess.run(["scripts/debian-packages", minor], cwd=ROOT, check=False).returncode:
        raise NotSetUp(f"{python} cannot make virtual environments: as root, apt-get install {minor}")


def install_locks(venv: Path, layer: str, locks: tuple[str, ...]) -> None:
    digest = locks_digest(locks)
    if stamped(venv, layer, digest):
        return
    for lock in locks:
        say(f"{venv.name}: requirements/{lock}.txt")
        run(venv / "bin/python", *PIP, "install", "--require-hashes", "-r", f"requirements/{lock}.txt")
    stamp(venv, layer, digest)


def locks_digest(locks: tuple[str, ...]) -> str:
    return hashlib.sha256(b"".join((ROOT / f"requirements/{lock}.txt").read_bytes() for lock in locks)).hexdigest()


def frozen_digest() -> str:
    """Of the parts of pyproject.toml that an editable install copies."""
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())
    parts = [written["build-system"], written["project"], written["tool"]["hatch"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stamped(venv: Path, name: str, digest: str) -> bool:
    path = venv / ".certd" / name
    return path.exists() and path.read_text() == digest


def stamp(venv: Path, name: str, digest: str) -> None:
    (venv / ".certd" / name).write_text(digest)


def run(*argv: str | Path) -> None:
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=LIMIT, check=False)
    if done.returncode:
        raise NotSetUp(f"failed with status {done.returncode}: {' '.join(map(str, argv))}")


def output(*argv: str) -> str:
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise NotSetUp(f"failed with status {done.returncode}: {' '.join(argv)}")
    return done.stdout


def say(text: str) -> None:
    sys.stderr.write(f"set-up  {text}\n")


if __name__ == "__main__":
    # Not to install into, or find things in, whatever environment make was called from.
    for name in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PIP_USER", "PIP_TARGET", "PIP_REQUIRE_VIRTUALENV"):
        os.environ.pop(name, None)
    try:
        main(sys.argv[1:])
    except (NotSetUp, subprocess.TimeoutExpired, OSError) as stopped:
        sys.exit(f"set-up: {stopped}")
