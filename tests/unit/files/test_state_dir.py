"""The state directory: ours alone, one certd at a time, and every reason against it said in words."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from certd.files.access import Access
from certd.files.quarantine import keep_odd_chain
from certd.files.state_dir import LOCK_FILE, StateLock, check_writable, open_state_dir
from certd.model.errors import StorageError, TryLater
from tests.fakes.clock import LeapingClock, ManualClock
from tests.unit.files.samples import NAME

REPOSITORY = Path(__file__).parents[3]
OTHER = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@contextmanager
def as_user(user: int) -> Iterator[None]:
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_it_is_made_private_whatever_the_umask_is(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        open_state_dir(tmp_path / "var/lib/certd")
        open_state_dir(tmp_path / "group", Access(group=os.getegid(), key_mode=0o640))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "var/lib/certd").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "group").stat().st_mode) == 0o750
    open_state_dir(tmp_path / "var/lib/certd")
    assert list((tmp_path / "var/lib/certd").iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702, 0o720])
def test_a_directory_that_others_can_write_to_is_refused_with_a_way_out(tmp_path: Path, mode: int) -> None:
    """An emptyDir of Kubernetes is 0777: a directory below it does."""
    tmp_path.chmod(mode)
    with pytest.raises(StorageError, match="others can write to it") as caught:
        open_state_dir(tmp_path)
    assert f"--state-dir {tmp_path / 'certd'}" in caught.value.hint
    open_state_dir(tmp_path / "certd")


@needs_root
def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    """Also by root: what its owner can swap under us is not ours, and root's files would lock the owner out."""
    os.chown(tmp_path, OTHER, OTHER)
    with pytest.raises(StorageError, match=f"belongs to user {OTHER}, and certd runs as user 0") as caught:
        open_state_dir(tmp_path)
    assert "run certd as that user" in caught.value.hint


@needs_root
def test_a_directory_without_permission_is_an_error_that_says_so(tmp_path: Path) -> None:
    with as_user(OTHER):
        for place in (Path("/usr"), Path("/usr/certd-test")):
            with pytest.raises(StorageError, match=r"^/usr.*permission denied|^/usr.*belongs to") as caught:
                open_state_dir(place)
            assert caught.value.hint


def test_a_file_in_its_place_or_its_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(StorageError, match=r"not a directory|something is there"):
            open_state_dir(place)
    with pytest.raises(StorageError, match="cannot write to this directory"):
        check_writable(tmp_path / "missing")


def test_a_second_certd_sees_who_holds_it_and_gets_it_afterwards(tmp_path: Path) -> None:
    first, second = StateLock(tmp_path, "certd issue -d example.org"), StateLock(tmp_path, "certd renew")
    assert first.try_acquire()
    assert not second.try_acquire()
    assert second.holder() == f"pid {os.getpid()} (certd issue -d example.org)"
    first.release()
    first.release()
    assert second.try_acquire()
    assert first.holder() == f"pid {os.getpid()} (certd renew)"
    second.release()
    assert stat.S_IMODE((tmp_path / LOCK_FILE).stat().st_mode) == 0o600


async def test_who_waits_long_enough_gets_it(tmp_path: Path) -> None:
    clock, entered = ManualClock(), asyncio.Event()
    first = StateLock(tmp_path, "certd run")
    assert first.try_acquire()

    async def wait() -> None:
        async with StateLock(tmp_path, "certd issue").held(clock, 60):
            entered.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(wait())
        for _ in range(3):
            await asyncio.sleep(0)
            await clock.advance(timedelta(seconds=1))
            assert not entered.is_set()
        first.release()
        while not entered.is_set():
            await asyncio.sleep(0)
            await clock.advance(timedelta(seconds=1))
    assert first.try_acquire(), "the waiter let go"
    first.release()


@pytest.mark.parametrize("patience", [0, 5])
async def test_who_waits_too_long_is_told_by_whom(tmp_path: Path, patience: float) -> None:
    holder = StateLock(tmp_path, "certd issue -d example.org")
    assert holder.try_acquire()
    clock = LeapingClock()
    begun = clock.now()
    with pytest.raises(TryLater) as caught:
        async with StateLock(tmp_path).held(clock, patience):
            pytest.fail("two hold it")
    assert str(caught.value) == f"{tmp_path}: held by pid {os.getpid()} (certd issue -d example.org)"
    assert clock.now() - begun == timedelta(seconds=patience)
    holder.release()


async def test_an_error_in_the_block_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        async with StateLock(tmp_path).held(LeapingClock(), 0):
            raise ValueError("boom")
    assert StateLock(tmp_path).try_acquire()


HOLD = """
import sys, subprocess
from pathlib import Path
from certd.files.state_dir import StateLock
assert StateLock(Path(sys.argv[1])).try_acquire()
child = subprocess.Popen(["sleep", "60"], close_fds=False)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_the_lock_dies_with_its_process_and_no_child_inherits_it(tmp_path: Path) -> None:
    """I14: certmagic's lock, left by a kill, blocked for two hours; hooks must not hold ours either."""
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-c", HOLD, str(tmp_path), "issue", "-d", "example.org"]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        try:
            lock = StateLock(tmp_path)
            assert not lock.try_acquire()
            assert lock.holder() == f"pid {process.pid} (certd {tmp_path} issue -d example.org)"
            process.kill()
            process.wait(timeout=10)
            assert lock.try_acquire()
            lock.release()
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"", "another process"),
        (b"\x00\x01\x02", "another process"),
        (b"12", "pid 12"),
        (b"12 certd \x1b[31missue\n", "pid 12 (certd [31missue)"),
        (b"12 " + b"x" * 100_000, "another process"),
        (b"x" * 5, "another process"),
    ],
)
def test_a_damaged_lock_file_confuses_nobody(tmp_path: Path, text: bytes, shown: str) -> None:
    """I14: an empty lock file once stopped a whole cluster; control characters stay off the terminal."""
    (tmp_path / LOCK_FILE).write_bytes(text)
    lock = StateLock(tmp_path)
    assert lock.holder() == shown
    assert lock.try_acquire()
    lock.release()


def test_a_lock_file_that_was_removed_keeps_nobody_in(tmp_path: Path) -> None:
    """A lock on a file that is no longer there is none; the next one makes a new file and is alone on it."""
    first, second, third = (StateLock(tmp_path) for _ in range(3))
    assert first.try_acquire()
    (tmp_path / LOCK_FILE).unlink()
    assert second.try_acquire()
    assert not third.try_acquire()
    first.release()
    second.release()


def test_a_link_in_the_place_of_the_lock_file_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    (tmp_path / LOCK_FILE).symlink_to(outside)
    with pytest.raises(StorageError, match="symbolic link"):
        StateLock(tmp_path).try_acquire()
    assert outside.read_bytes() == b"precious"


def test_an_odd_chain_is_kept_for_a_person(tmp_path: Path) -> None:
    """Invariant 3: told and kept, never served; a later download of the same order takes its place."""
    path = keep_odd_chain(tmp_path, NAME, "0a1b2c", "what the CA sent\n")
    assert path == tmp_path / "quarantine/example.org/0a1b2c.pem"
    assert keep_odd_chain(tmp_path, NAME, "0a1b2c", "another\n") == path
    assert path.read_text() == "another\n"
    assert [p.name for p in path.parent.iterdir()] == ["0a1b2c.pem"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for order_id in ("../x", "", "a/b", "-rf", "x" * 101):
        with pytest.raises(StorageError):
            keep_odd_chain(tmp_path, NAME, order_id, "x")
