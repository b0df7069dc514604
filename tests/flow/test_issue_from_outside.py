"""`certd issue` as its surroundings see it: signals, another certd beside it, a server to tell, clocks that are off."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from certd.app.issue import run_issue
from certd.app.request import AccountOptions, ChallengeOptions, IssueRequest
from certd.app.result import ISSUED, UP_TO_DATE, IssueResult
from certd.files.state_dir import StateLock
from certd.model.clock import SystemClock
from tests.fakes.publishers import Progress
from tests.flow.causes import released
from tests.flow.everywhere.backstage import Backstage, backstage
from tests.flow.everywhere.command import PROGRAM
from tests.flow.scene import NAME, Scene, scene
from tests.hellca.faults import hang, with_headers
from tests.hellca.hell import HellCa

LIMIT = 30.0


@pytest.fixture(scope="module")
def behind() -> Iterator[Backstage]:
    with backstage() as running:
        yield running


@pytest.fixture
def stage(tmp_path: Path, behind: Backstage, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    with scene(tmp_path, behind, capsys) as made:
        yield made


def tree(root: Path) -> dict[str, bytes | str]:
    """Everything below *root* that a person or a program could miss; SQLite's own leavings are neither."""
    return {
        str(path.relative_to(root)): path.readlink().as_posix() if path.is_symlink() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if (path.is_symlink() or path.is_file()) and not path.name.endswith(("-shm", "-wal"))
    }


def stopped(stage: Scene, hell: HellCa, number: signal.Signals, *more: str) -> "subprocess.CompletedProcess[str]":
    """`certd issue`, sent *number* while the CA keeps it waiting for newOrder."""
    hell.fault("new-order", hang())
    with subprocess.Popen(
        [PROGRAM, *stage.at(hell), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        until_asked(hell, "new-order")
        os.kill(run.pid, number)
        out, err = run.communicate(timeout=LIMIT)
    return subprocess.CompletedProcess(run.args, run.returncode, out, err)


def until_asked(hell: HellCa, route: str) -> None:
    until = time.monotonic() + LIMIT
    while not hell.count(route):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_the_next_one_goes_on(stage: Scene, number: signal.Signals, status: int) -> None:
    hell = stage.hell()
    ran = stopped(stage, hell, number)
    assert ran.returncode == status
    assert f"stopped by {number.name}" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert stage.certd(*stage.at(hell)).status == 0
    assert len(hell.orders) == 1


def test_a_signal_is_told_to_programs_as_one_object(stage: Scene) -> None:
    ran = stopped(stage, stage.hell(), signal.SIGTERM, "--json")
    found = json.loads(ran.stdout)
    assert (found["kind"], found["exit_status"], ran.returncode) == ("Interrupted", 143, 143)


def test_who_holds_the_state_is_named_and_waited_for(stage: Scene) -> None:
    hell = stage.hell()
    stage.state.mkdir(mode=0o700)
    lock = StateLock(stage.state, "certd run")
    assert lock.try_acquire()
    with released(lock), subprocess.Popen([PROGRAM, *stage.at(hell)], stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        said = run.stderr.readline()
        lock.release()
        assert run.wait(LIMIT) == 0
    assert f"held by pid {os.getpid()} (certd run); waiting for it, 60 s at most" in said


def test_a_failed_reload_is_repeated_without_another_order(stage: Scene) -> None:
    """Nobody is told that a certificate is in use when the server was not; and no second one is bought for that."""
    hell, told = stage.hell(), stage.folder / "told"
    reload = ("--reload", f"sh -c 'test -e {told} && echo $CERTD_NAME $CERTD_GENERATION >> {told}'")
    first = stage.certd(*stage.at(hell), *reload)
    assert first.status == 1
    assert first.err.splitlines()[-2].startswith(f"error: {NAME}: generation 1 is in {stage.state}/live/{NAME}, but ")
    told.touch()
    assert stage.certd(*stage.at(hell), *reload).out.startswith(f"up to date   {NAME}")
    assert stage.certd(*stage.at(hell), *reload).out.startswith(f"up to date   {NAME}")
    assert told.read_text() == f"{NAME} 1\n"
    assert len(hell.orders) == 1


def test_a_dry_run_changes_nothing_at_either_end(stage: Scene) -> None:
    hell, out = stage.hell(), stage.folder / "out"
    dry = (*stage.at(hell), "--dry-run", "--out", str(out))
    ran = stage.certd(*dry)
    assert (ran.status, ran.out) == (
        0,
        f"checked   {NAME}   would be issued: no certificate yet; nothing was ordered or changed\n",
    )
    assert not stage.state.exists()
    assert stage.certd(*stage.at(hell)).status == 0
    before, orders = tree(stage.folder), len(hell.orders)
    ran = stage.certd(*dry, "-d", "more.test")
    assert "names changed: +more.test" in ran.out
    assert tree(stage.folder) == before
    assert (len(hell.orders), len(hell.accounts)) == (orders, 1)


def test_a_dry_run_waits_for_nobody(stage: Scene) -> None:
    hell = stage.hell()
    assert stage.certd(*stage.at(hell)).status == 0
    lock = StateLock(stage.state, "certd run")
    assert lock.try_acquire()
    with released(lock):
        assert stage.certd(*stage.at(hell, "--dry-run", "--wait", "0")).out.startswith(
            f"checked   {NAME}   nothing is due"
        )


class OffClock(SystemClock):
    """It runs as the machine's, and is off by so much."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


class Off:
    """Runs of `certd issue` in this process, on a clock that is off."""

    def __init__(self, stage: Scene, hell: HellCa) -> None:
        self._request = IssueRequest(
            names=(NAME,),
            server=hell.directory_url,
            ca_bundle=hell.ca.root_path,
            account=AccountOptions(agree_tos=True),
            challenge=ChallengeOptions(http_address=f"127.0.0.1:{stage.http_port}"),
            state_dir=stage.state,
        )
        self._behind = stage.behind

    def run(self, by: timedelta) -> tuple[IssueResult, Sequence[str]]:
        told = Progress()
        return self._behind.run(run_issue(self._request, told, OffClock(by))), told.notes


def test_a_clock_that_is_off_is_an_alarm(stage: Scene) -> None:
    """The CA's Date says two hours less than this machine."""
    hell = stage.hell()
    hell.always("*", with_headers(Date=format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True)))
    ran = stage.certd(*stage.at(hell))
    assert ran.status == 0
    assert "this machine's clock is 2 hours ahead of that of 127.0.0.1:" in ran.err


def test_a_clock_that_is_months_ahead_orders_nothing(stage: Scene) -> None:
    """Else each run would order: to that clock the new certificate is due at once as well."""
    hell = stage.hell()
    off = Off(stage, hell)
    assert off.run(timedelta(0))[0].status == ISSUED
    for asks_first in (True, False):  # for the CA's window, which is due again then; at once after that it is not
        result, notes = off.run(timedelta(days=80))
        assert result.status == UP_TO_DATE
        assert "this machine's clock is 80 days ahead of that of" in result.notes[0]
        assert any("nothing is due by the CA's clock" in note for note in notes) is not asks_first
    assert len(hell.orders) == 1
