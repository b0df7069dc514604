"""What a kill or a full disk leaves behind is mended by doing the same again (design 4.2; FS1, FS2, CR1, CR2)."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from certd.files.export import export
from certd.files.generations import write_generation
from certd.files.live import live_number, switch_live
from certd.files.quarantine import forget_odd_chain, keep_odd_chain
from certd.model.errors import StorageError
from certd.model.steps import Step, set_trap
from tests.unit.files.samples import NAME, contents, expected, install, pems

STEPS = (Step.FILES_STAGED, Step.FILES_RENAMED, Step.LIVE_SWITCHED, Step.OUT_COPIED)
REPOSITORY = Path(__file__).parents[3]


def bring_up(root: Path, number: int) -> None:
    """What the workflow does with a new generation."""
    write_generation(root, NAME, number, pems(number))
    switch_live(root, NAME, number)
    export(root / "out", pems(number))


def assert_whole(root: Path) -> int:
    """Whatever happened: `live/` shows one whole generation, and every generation in sight is whole."""
    shown = live_number(root, NAME)
    assert shown is not None
    assert contents(root / "live/example.org") == expected(shown)
    for directory in (root / "generations/example.org").iterdir():
        if directory.name.isdigit():
            assert contents(directory) == expected(int(directory.name))
    return shown


def assert_finished(root: Path, number: int) -> None:
    assert assert_whole(root) == number
    assert contents(root / "out") == expected(number), "no leftovers, all five files of one generation"
    assert all(p.name.isdigit() for p in (root / "generations/example.org").iterdir())
    assert [p.name for p in (root / "live").iterdir()] == ["example.org"]


@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_an_error_at_each_step_is_mended_by_the_same_again(tmp_path: Path, step: Step, edge: str) -> None:
    bring_up(tmp_path, 1)

    def trap(which: Step, at: str) -> None:
        if (which, at) == (step, edge):
            raise OSError(errno.EIO, "fail-point")

    set_trap(trap)
    try:
        with pytest.raises(StorageError, match="the disk failed"):
            bring_up(tmp_path, 2)
    finally:
        set_trap(None)
    assert_whole(tmp_path)
    bring_up(tmp_path, 2)
    assert_finished(tmp_path, 2)


CHILD = """
import sys
from pathlib import Path
from tests.unit.files.test_crashes import bring_up
bring_up(Path(sys.argv[1]), 2)
"""


@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_each_step_is_mended_by_the_same_again(tmp_path: Path, step: Step, edge: str) -> None:
    """No cleanup runs here: what was staged stays until the next write sweeps it."""
    bring_up(tmp_path, 1)
    environment = {"CERTD_FP": f"{step.value}:{edge}:kill", "PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-c", CHILD, str(tmp_path)]
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode == -9, done.stderr
    assert_whole(tmp_path)
    bring_up(tmp_path, 2)
    assert_finished(tmp_path, 2)


def test_what_a_death_left_of_an_odd_chain_goes_with_its_order(tmp_path: Path) -> None:
    """The next download is good, mostly, so nobody writes that file again."""

    def trap(which: Step, at: str) -> None:
        if (which, at) == (Step.CHAIN_KEPT, "before"):
            os.link(tmp_path / "quarantine/example.org/.0a1b.pem.new", tmp_path / "kept")

    set_trap(trap)
    try:
        path = keep_odd_chain(tmp_path, NAME, "0a1b", "odd\n")
    finally:
        set_trap(None)
    (tmp_path / "kept").rename(path.with_name(".0a1b.pem.new"))
    forget_odd_chain(tmp_path, NAME, "0a1b")
    assert list(path.parent.iterdir()) == []


def failing(call: str, which: int, code: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Let the *which*-th call of `os.<call>` fail with *code*; tells afterwards whether it came so far."""
    real, count = getattr(os, call), 0

    def faulty(*args: object, **kwargs: object) -> object:
        nonlocal count
        count += 1
        if count == which:
            raise OSError(code, os.strerror(code))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, faulty)
    return lambda: count >= which


@pytest.mark.parametrize(
    ("call", "code", "most"),
    [
        ("mkdir", errno.ENOSPC, 9),
        ("open", errno.EMFILE, 40),
        ("write", errno.ENOSPC, 15),
        ("fsync", errno.EIO, 20),
        ("fchmod", errno.EPERM, 15),
        ("symlink", errno.EDQUOT, 2),
        ("rename", errno.EROFS, 9),
    ],
)
def test_a_fault_in_any_single_call_loses_nothing(tmp_path: Path, call: str, code: int, most: int) -> None:
    """FS1, FS2, FS4: the n-th call of each kind fails, for every n that there is."""
    reached = 0
    for which in range(1, most + 1):
        root = tmp_path / f"{call}-{which}"
        root.mkdir()
        bring_up(root, 1)
        with pytest.MonkeyPatch.context() as patch:
            came = failing(call, which, code, patch)
            try:
                bring_up(root, 2)
            except StorageError as error:
                assert str(root) in str(error)  # noqa: PT017 - a call that is tolerated is fine, too
        reached = which if came() else reached
        assert_whole(root)
        bring_up(root, 2)
        assert_finished(root, 2)
    assert 0 < reached < most, f"os.{call} is called {reached} times: the table must reach beyond"


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write() may take less than it was given, without an error."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:100]))
    install(tmp_path, 1)
    assert contents(tmp_path / "live/example.org") == expected(1)


FULL = """
import sys
from pathlib import Path
from certd.files.state_dir import check_writable
from certd.model.errors import StorageError
from tests.unit.files.samples import contents, expected
from tests.unit.files.test_crashes import assert_finished, assert_whole, bring_up
root = Path("{mount}/state")
root.mkdir(mode=0o700)
bring_up(root, 1)
filler = 0
while True:
    try:
        {fill}
        filler += 1
    except OSError:
        break
for attempt in (lambda: bring_up(root, 2), lambda: check_writable(root)):
    try:
        attempt()
    except StorageError as error:
        assert "no space left" in str(error), error
        assert "run the same command again" in error.hint, error.hint
    else:
        raise SystemExit("the disk was not full")
assert assert_whole(root) == 1
assert contents(root / "out") == expected(1)
for file in root.parent.glob("filler*"):
    file.unlink()
bring_up(root, 2)
assert_finished(root, 2)
print("survived")
"""

READ_ONLY = """
import subprocess
from pathlib import Path
from certd.files.export import check_export
from certd.files.state_dir import StateLock, open_state_dir
from certd.model.errors import StorageError
from tests.unit.files.test_crashes import assert_whole, bring_up
root = Path("{mount}/state")
root.mkdir(mode=0o700)
bring_up(root, 1)
subprocess.run(["mount", "-o", "remount,ro", "{mount}"], check=True)
for attempt in (
    lambda: bring_up(root, 2), lambda: open_state_dir(root), lambda: check_export(root / "out"),
    lambda: open_state_dir(root / "new"), lambda: StateLock(root).try_acquire(),
):
    try:
        attempt()
    except StorageError as error:
        assert "the file system is read-only" in str(error), error
    else:
        raise SystemExit("it was written to")
assert assert_whole(root) == 1
print("survived")
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting needs root and unshare")
@pytest.mark.parametrize(
    ("options", "script", "fill"),
    [
        ("size=192k", FULL, 'open(f"{mount}/filler{{filler}}", "xb", buffering=0).write(bytes(4096))'),
        ("size=1m,nr_inodes=40", FULL, 'open(f"{mount}/filler{{filler}}", "xb").close()'),
        ("size=1m", READ_ONLY, ""),
    ],
    ids=["blocks", "inodes", "read-only"],
)
def test_a_full_or_read_only_disk_keeps_what_is_there(tmp_path: Path, options: str, script: str, fill: str) -> None:
    """FS1, FS4 on a real file system in a mount namespace of its own; space returns, and nothing was lost (I12)."""
    mount = str(tmp_path)
    text = script.format(mount=mount, fill=fill.format(mount=mount))
    shell = f'mount -t tmpfs -o {options} tmpfs "{mount}" && exec "{sys.executable}" -c "$1"'
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh", text]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=40, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
    assert done.stdout == "survived\n", done.stderr
