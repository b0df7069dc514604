"""What a person is told of a certificate that is in place."""

from datetime import timedelta
from pathlib import Path

import pytest

from certd.app.result import notes_on, paths_of
from tests.fakes.clock import START
from tests.unit.ledger.samples import generation, renewal

HOUR = timedelta(hours=1)


def test_an_ordinary_certificate_needs_no_note() -> None:
    assert notes_on(generation(), renewal(), START) == ()


def test_a_certificate_that_is_not_valid_yet_is_told() -> None:
    """A server that shows it at once is not believed; the clock here may be behind."""
    (note,) = notes_on(generation(not_before=START + HOUR), renewal(), START)
    assert note.startswith(
        "example.org: valid only from 2026-11-24 10:00:00Z, and this machine's clock says 2026-11-24 09:00"
    )


def test_why_a_ca_wants_it_renewed_is_passed_on() -> None:
    """RFC 9773 §4.2: "SHOULD provide this URL to their operator": an incident, most of the time."""
    (note,) = notes_on(generation(), renewal(explanation_url="https://ca.test/incident"), START)
    assert note == "example.org: the CA explains its renewal window at https://ca.test/incident"


@pytest.mark.parametrize("with_key", [True, False])
def test_files_are_named_by_what_they_hold(with_key: bool) -> None:
    paths = paths_of(Path("/x"), with_key=with_key)
    assert ("privkey" in paths, "bundle" in paths) == (with_key, with_key)
    assert all(path == f"/x/{kind}.pem" for kind, path in paths.items())
