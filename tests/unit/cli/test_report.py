"""What `certd issue` says when it is done, to people and to programs."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from certd.app.result import CHECKED, ISSUED, UP_TO_DATE, IssueResult
from certd.cli.issue_report import report
from tests.fakes.clock import START
from tests.unit.ledger.samples import generation, renewal

DAY = timedelta(days=1)
WINDOW = START + 59 * DAY
CERTIFICATE = replace(
    generation(1), not_before=START, not_after=START + 90 * DAY - timedelta(seconds=1), reason="no certificate yet"
)
RENEWAL = replace(renewal(1), due_at=START + 60 * DAY, window_start=WINDOW, window_end=WINDOW + 2 * DAY, by_ca=True)
RESULT = IssueResult(
    status=ISSUED,
    name="shop.test",
    issuer="Let's Encrypt",
    names=("shop.test", "www.shop.test"),
    now=START,
    finding="no certificate yet",
    generation=CERTIFICATE,
    renewal=RENEWAL,
)


def printed(result: IssueResult, capsys: pytest.CaptureFixture[str]) -> str:
    assert report(result, as_json=False) == 0
    out: str = capsys.readouterr().out
    return out


def live(folder: Path, *secret: str) -> Path:
    """A generation's files; *secret* ones are 0600."""
    for name in ("cert", "chain", "fullchain", "privkey", "bundle"):
        file = folder / f"{name}.pem"
        file.touch(mode=0o600 if name in secret else 0o644)
        file.chmod(0o600 if name in secret else 0o644)
    return folder


def test_what_was_issued_where_it_is_and_when_it_is_renewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = live(tmp_path, "privkey", "bundle")
    assert printed(replace(RESULT, live=place), capsys) == (
        "issued   shop.test   2 names, EC P-256, expires 2027-02-22 (90 days), "
        "renews about 2027-01-23 (Let's Encrypt's suggested window)\n"
        f"         {place}/fullchain.pem\n"
        f"         {place}/privkey.pem     0600\n"
        f"         {place}/bundle.pem      0600\n"
    )


def test_copies_are_shown_instead_with_the_mode_they_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    out = live(tmp_path / "out", "privkey")
    (out / "privkey.pem").chmod(0o640)
    text = printed(replace(RESULT, live=tmp_path, out=out, reloaded="systemctl reload nginx"), capsys)
    assert f"         {out}/privkey.pem     0640\n" in text
    assert text.endswith("         reloaded by: systemctl reload nginx\n")
    assert f"{tmp_path}/fullchain.pem" not in text


def test_a_key_that_stays_elsewhere_has_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(replace(RESULT, live=live(tmp_path), generation=replace(CERTIFICATE, key_id=None)), capsys)
    assert [line.strip() for line in text.splitlines()[1:]] == [f"{tmp_path}/fullchain.pem"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"renewal": replace(RENEWAL, by_ca=False)},
            "renews about 2027-01-23 (our own choice, because the CA suggests none)",
        ),
        ({"now": START + 59 * DAY}, "renews about 2027-01-23 09:00:00Z (Let's Encrypt's suggested window)"),
        ({"renewal": None}, "renews after two thirds of its lifetime"),
    ],
)
def test_when_it_is_renewed_says_by_whose_word(
    changes: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within two days the time matters, too."""
    assert said in printed(replace(RESULT, status=UP_TO_DATE, **changes), capsys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (START, "expires in 89 days"),
        (START + 89 * DAY, "expires in 23 hours"),
        (START + 90 * DAY - timedelta(minutes=3, seconds=1), "expires in 3 minutes"),
        (START + 90 * DAY - timedelta(seconds=41), "expires in 40 s"),
    ],
)
def test_up_to_date_says_how_much_is_left(now: datetime, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(replace(RESULT, status=UP_TO_DATE, now=now), capsys).startswith(
        f"up to date   shop.test   {said}, renews about "
    )


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        ("", "nothing is due"),
        ("names changed: +www.shop.test", "would be issued: names changed: +www.shop.test"),
    ],
)
def test_a_dry_run_says_what_would_be_done(finding: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = replace(RESULT, status=CHECKED, finding=finding)
    assert printed(result, capsys) == f"checked   shop.test   {said}; nothing was ordered or changed\n"


def test_notes_are_no_facts(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(replace(RESULT, notes=("shop.test: odd",)), as_json=False) == 0
    assert capsys.readouterr().err == "note: shop.test: odd\n"


def test_programs_get_stable_keys_and_times_with_zone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(replace(RESULT, live=tmp_path, notes=("odd",)), as_json=True) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert list(found) == [
        *("status", "name", "names", "issuer", "finding", "certificate", "renewal", "files", "out", "reloaded", "notes")
    ]
    assert found["certificate"]["not_after"] == "2027-02-22T08:59:59+00:00"
    assert set(found["certificate"]) == {
        *("generation", "serial", "fingerprint_sha256", "key_type", "profile", "not_before", "not_after", "reason")
    }
    assert found["renewal"] == {
        "due_at": "2027-01-23T09:00:00+00:00",
        "window_start": "2027-01-22T09:00:00+00:00",
        "window_end": "2027-01-24T09:00:00+00:00",
        "suggested_by_ca": True,
        "explanation_url": None,
    }
    assert found["files"]["privkey"] == f"{tmp_path}/privkey.pem"
    assert found["notes"] == ["odd"]


def test_what_is_not_there_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    report(replace(RESULT, status=CHECKED, generation=None, renewal=None), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [found[key] for key in ("certificate", "renewal", "files", "out", "reloaded")] == [None] * 5
