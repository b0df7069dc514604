"""The path on which nothing is due decides as the long one does: it answers only where that one would do nothing."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certd.app.issue import run_issue
from certd.app.request import ChallengeOptions, OutOptions
from certd.app.result import UP_TO_DATE, IssueResult
from certd.app.up_to_date import up_to_date
from certd.model.errors import CertdError, StorageError
from tests.fakes.clock import ManualClock
from tests.fakes.publishers import Progress
from tests.unit.app import kept
from tests.unit.app.kept import NAMES, Kept

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Change = Callable[[Kept], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return kept.make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def here(made: Kept, tmp_path: Path) -> Kept:
    return made.copy(tmp_path / "here")


def order_open(here: Kept) -> None:
    here.sql("UPDATE orders SET state = 'intent', url = NULL")
    here.sql("DELETE FROM proofs")


def proof_open(here: Kept) -> None:
    here.sql("UPDATE proofs SET state = 'journalled', withdraw_at = NULL")


def revoked(here: Kept) -> None:
    here.sql("UPDATE generations SET revoked_at = created_at")


def no_renewal(here: Kept) -> None:
    here.sql("DELETE FROM renewals")


def never_asked_again(here: Kept) -> None:
    here.sql("UPDATE renewals SET next_fetch_at = NULL")


def no_link(here: Kept) -> None:
    (here.state / "live" / NAMES[0]).unlink()


def foreign_link(here: Kept) -> None:
    no_link(here)
    (here.state / "live" / NAMES[0]).symlink_to("/etc")


def link_to_a_copy(here: Kept) -> None:
    """The files are right, but the next switch would not be certd's."""
    shutil.copytree(here.generation, here.folder / "copy")
    no_link(here)
    (here.state / "live" / NAMES[0]).symlink_to(here.folder / "copy")


def no_key_file(here: Kept) -> None:
    (here.generation / "privkey.pem").unlink()


def edited_chain(here: Kept) -> None:
    (here.generation / "fullchain.pem").write_text("-----BEGIN NOTHING-----\n")


def no_copies(here: Kept) -> None:
    shutil.rmtree(here.out)


def no_copied_key(here: Kept) -> None:
    (here.out / "privkey.pem").unlink()


def open_copied_key(here: Kept) -> None:
    (here.out / "privkey.pem").chmod(0o644)


def stale_copies(here: Kept) -> None:
    (here.out / "fullchain.pem").write_text("-----BEGIN NOTHING-----\n")


def nothing(here: Kept) -> None:
    """As it was."""


STATES = [nothing, order_open, proof_open, revoked, no_renewal, never_asked_again, no_link, foreign_link, no_key_file]
STATES += [link_to_a_copy, edited_chain, no_copies, no_copied_key, open_copied_key, stale_copies]

REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "the same": {},
    "in another order": {"names": NAMES[::-1], "name": NAMES[0]},
    "written otherwise": {"names": ("SHOP.test.", *NAMES)},
    "one name more": {"names": (*NAMES, "more.test")},
    "one name less": {"names": NAMES[:1]},
    "another key type": {"key_type": "ec384"},
    "another profile": {"profile": "shortlived"},
    "another CA": {"server": "https://127.0.0.1:2/directory"},
    "another name": {"name": "other"},
    "another chain": {"preferred_chain": "Some Root"},
    "another way to prove": {"challenge": ChallengeOptions(webroot=Path("/"))},
    "a key kept": {"reuse_key": True},
    "without copies": {"out": OutOptions()},
    "with a reload": {"reload": "true"},
    "a reload that fails": {"reload": "false"},
    "forced": {"force": True},
    "a mistake": {"challenge": ChallengeOptions(http_address="80")},
}


@dataclass(frozen=True, slots=True)
class Did:
    """What the long path came to."""

    result: IssueResult | None
    acted: bool


ROWS = (
    "SELECT (SELECT count(*) FROM renewals), (SELECT max(next_fetch_at) FROM renewals), "
    "(SELECT count(*) FROM proofs WHERE state <> 'withdrawn')"
)


def the_long_way(here: Kept, request: Any, now: datetime) -> Did:
    """`run_issue`; it acted if it told anybody anything, changed a file or a row, or could not do what it wanted."""
    before, rows = here.shown(), here.row(ROWS)
    told = Progress()
    try:
        result = asyncio.run(run_issue(request, told, ManualClock(now)))
    except CertdError:
        return Did(None, acted=True)
    changed = (here.shown(), here.row(ROWS)) != (before, rows)
    return Did(result, changed or bool(told.notes) or bool(result.reloaded) or result.status != UP_TO_DATE)


def compare(here: Kept, changes: Mapping[str, Any], now: datetime) -> IssueResult | None:
    request = here.request(**changes)
    short = up_to_date(request, ManualClock(now))
    long = the_long_way(here, request, now)
    assert long.acted is (short is None)
    if short is not None:
        assert long.result == short
    return short


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_each_state_is_judged_alike(state: Change, here: Kept) -> None:
    state(here)
    short = compare(here, {}, _soon(here))
    assert (short is not None) is (state in {nothing, never_asked_again})


@pytest.mark.parametrize(("name", "changes"), REQUESTS.items(), ids=REQUESTS)
def test_each_request_is_judged_alike(name: str, changes: Mapping[str, Any], here: Kept) -> None:
    short = compare(here, changes, _soon(here))
    same = {"the same", "in another order", "written otherwise", "another chain", "another way to prove", "a key kept"}
    assert (short is not None) is (name in {*same, "without copies"})


@pytest.mark.parametrize(
    ("anchor", "after", "due"),
    [
        ("not_before", -HOUR, False),
        ("next_fetch_at", -HOUR, False),
        ("next_fetch_at", timedelta(0), True),
        ("due_at", timedelta(0), True),
        ("not_after", -DAY, True),
        ("not_after", DAY, True),
    ],
)
def test_each_moment_is_judged_alike(anchor: str, after: timedelta, due: bool, here: Kept) -> None:
    assert (compare(here, {}, here.times()[anchor] + after) is None) is due


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.lists(st.sampled_from(STATES[1:]), max_size=2, unique=True),
    changes=st.sampled_from(sorted(REQUESTS)),
    hours=st.sampled_from([-1, 1, 5, 7, 24 * 45, 24 * 62, 24 * 87, 24 * 91]),
)
def test_whatever_comes_together_is_judged_alike(made: Kept, states: list[Change], changes: str, hours: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = made.copy(Path(folder) / "here")
        now = here.times()["not_before"] + hours * HOUR
        for state in states:
            try:
                state(here)
            except FileNotFoundError:
                continue  # the other one has taken it away
        compare(here, REQUESTS[changes], now)


def _soon(here: Kept) -> datetime:
    (micros,) = here.row("SELECT not_before FROM generations")
    return datetime.fromtimestamp(micros / 1e6, tz=UTC) + 2 * HOUR


def test_it_opens_no_lock_and_writes_nothing(here: Kept) -> None:
    """A timer that runs it every minute must not wear the disk, nor wait for anybody."""
    files = {path: path.stat().st_mtime_ns for path in here.state.rglob("*") if path.is_file()}
    assert up_to_date(here.request(), ManualClock(_soon(here))) is not None
    now = {path: path.stat().st_mtime_ns for path in files}
    assert now == files


def test_no_state_is_something_to_do(tmp_path: Path) -> None:
    assert up_to_date(Kept(tmp_path).request()) is None
    assert list(tmp_path.iterdir()) == []


def test_owner_group_and_mode_that_were_asked_for_since_are_given(here: Kept) -> None:
    """Found on the second run: the copies had been made for root alone, and the server could not read them."""
    if os.geteuid() != 0:
        pytest.skip("needs root (another group)")
    wanted = {"out": OutOptions(here.out, group="12345", mode="0640")}
    assert compare(here, wanted, _soon(here)) is None
    assert (here.out / "privkey.pem").stat().st_gid == 12345
    assert compare(here, wanted, _soon(here)) is not None


def test_a_damaged_ledger_is_an_error_and_no_certificate(here: Kept) -> None:
    (here.state / "ledger.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"ledger\.sqlite"):
        up_to_date(here.request())


def test_another_csr_is_left_to_the_long_path(here: Kept) -> None:
    """Whether it is for the same key only X.509 can tell."""
    wanted = replace(here.request(names=()), csr=_csr(here))
    here.sql("UPDATE generations SET csr_given = 1, key_id = NULL")
    assert up_to_date(wanted, ManualClock(_soon(here))) is None


def _csr(here: Kept) -> Path:
    from tests.unit.ca.csr import make_csr

    path = here.folder / "csr.der"
    path.write_bytes(make_csr(NAMES))
    return path
