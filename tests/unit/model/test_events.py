"""What is told: fields fit for JSON, the kind first, and nothing in them that must stay secret."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import pytest

from certd.model.events import CertificateIssued, Event, as_fields

KINDS = get_args(Event)


def sample(kind: type[Any]) -> Any:
    values: dict[type[Any], Any] = {str: "text", int: 7, datetime: datetime(2027, 2, 21, 9, 0, tzinfo=UTC)}
    return kind(**{name: values[hint] for name, hint in get_type_hints(kind).items()})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_event_is_json_with_its_kind_first(kind: type[Any]) -> None:
    told = as_fields(sample(kind))
    assert list(told) == ["event", *(field.name for field in fields(kind))]
    assert told["event"] == kind.__name__
    assert json.loads(json.dumps(told)) == told


def test_moments_are_written_with_their_zone() -> None:
    """RFC 3339, as everywhere in what machines read."""
    assert as_fields(sample(CertificateIssued))["not_after"] == "2027-02-21T09:00:00+00:00"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_event_has_a_place_for_a_secret_or_for_the_ledgers_own_columns(kind: type[Any]) -> None:
    """Invariant 8; and `at` is the row's moment, which a field of that name would hide."""
    names = {field.name for field in fields(kind)}
    assert not names & {"at", "event", "id"}
    assert not any(word in name for name in names for word in ("key", "secret", "token", "password", "hmac", "value"))
