"""JSON from a CA: hostile text is an error, unknown things are nothing, and wrong types never crash."""

import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.ca.account import read_account
from certd.ca.authorization import read_authorization
from certd.ca.challenge import answered
from certd.ca.directory import read_directory
from certd.ca.document import Document, parse_json, parse_moment
from certd.ca.order import read_order
from certd.ca.origin import Origin
from certd.ca.renewal_info import read_renewal_info
from certd.ca.text import clean
from certd.model.acme import AccountUrl, Challenge, ChallengeStatus, ChallengeType, OrderUrl
from certd.model.errors import CaProtocolError

CA = Origin("ca.example", 443)
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

HOSTILE = {
    "empty": b"",
    "truncated": b'{"status": "pend',
    "HTML": b"<html><body>502 Bad Gateway</body></html>",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": [1, -Infinity]}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "depth 100,000": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "depth 100,000 of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "open depth": b"[" * 500_000,
    "duplicate keys": b'{"status": "pending", "status": "valid"}',
    "duplicate keys below": b'{"a": {"b": 1, "b": 1}}',
    "lone surrogate": b'{"a": "\\ud800"}',
    "lone surrogate in a key": b'{"\\uDfff": 1}',
    "raw lone surrogate": b'{"a": "\xed\xa0\x80"}',
    "Latin-1": b'{"a": "\xe4"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "two values": b"{} {}",
    "comment": b"{/* */}",
    "trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "control character": b'{"a": "\x01"}',
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_is_an_error_and_no_crash(data: bytes) -> None:
    """CA18 to CA20: what two parsers could read differently is refused; the message stays short."""
    with pytest.raises(CaProtocolError, match="order: ") as caught:
        parse_json(data, "order")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("data", [b"[]", b"1", b'"a"', b"null", b"true"])
def test_a_value_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(CaProtocolError, match="not a JSON object"):
        Document.parse(data, "order", CA)


def test_surrogate_pairs_and_big_numbers_are_fine() -> None:
    """They are JSON; only half of a pair is not."""
    assert parse_json(b'{"a": "\\ud83d\\ude00", "b": 1e999, "c": 123456789012345678901234567890}', "x")["a"] == "😀"


def test_a_mebibyte_of_the_worst_json_takes_bounded_memory() -> None:
    """CA18: 1 MiB is the limit of a body; what it becomes stays under the bar of 32 MiB."""
    data = b"[" + b"{}," * (1024 * 1024 // 3 - 2) + b"{}]"
    tracemalloc.start()
    parse_json(data, "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


MOMENTS = {
    "2027-01-22T10:00:00Z": datetime(2027, 1, 22, 10, 0, tzinfo=UTC),
    "2027-01-22t10:00:00z": datetime(2027, 1, 22, 10, 0, tzinfo=UTC),
    "2027-01-22 10:00:00Z": datetime(2027, 1, 22, 10, 0, tzinfo=UTC),
    "2027-01-22T10:00:00.123456789Z": datetime(2027, 1, 22, 10, 0, 0, 123456, tzinfo=UTC),
    "2027-01-22T10:00:00.5Z": datetime(2027, 1, 22, 10, 0, 0, 500000, tzinfo=UTC),
    "2027-01-22T10:00:00+01:30": datetime(2027, 1, 22, 8, 30, tzinfo=UTC),
    "2016-12-31T23:59:60Z": datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC),
    "1970-01-01T00:00:00Z": datetime(1970, 1, 1, tzinfo=UTC),
    "2027-01-22T10:00:00": None,
    "2027-01-22": None,
    "2027-13-22T10:00:00Z": None,
    "2027-02-30T10:00:00Z": None,
    "0001-01-01T00:00:00+23:59": None,
    "9999-12-31T23:59:59-23:59": None,
    "2027-W01-1T10:00:00Z": None,
    "٢٠٢٧-01-22T10:00:00Z": None,
    "1811066400": None,
    "": None,
    "2027-01-22T10:00:00.Z": None,
    "2027-01-22T10:00:00Z\n": None,
}


@pytest.mark.parametrize(("text", "moment"), MOMENTS.items(), ids=repr)
def test_times_are_rfc_3339_with_a_zone_or_nothing(text: str, moment: datetime | None) -> None:
    """A3 of ARI: windows in 1970, years away, without a zone."""
    assert parse_moment(text) == moment


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain detail", "plain detail"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("two\r\nlines", "two lines"),
        ("\u202egnirts\u2066", "gnirts"),
        ("a\u2028b\x85c", "a b c"),
        ("NUL\x00DEL\x7f", "NUL DEL"),
        ("ünï 漢字 😀", "ünï 漢字 😀"),
        ("\ud800", ""),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(said: str, shown: str) -> None:
    """SE5: ANSI, CR LF, bidirectional controls; other scripts stay."""
    assert clean(said) == shown
    clean(said).encode()


def test_what_is_too_long_is_cut_and_shows_it() -> None:
    """SE5: a problem's detail is at most 2 KiB."""
    assert clean("x" * 100_000) == "x" * 2047 + "…"


# Mutation: each field of each document becomes each wrong thing

ORDER = {
    "status": "valid",
    "expires": "2026-12-01T00:00:00Z",
    "notBefore": "2026-12-01T00:00:00Z",
    "notAfter": "2026-12-01T00:00:00Z",
    "identifiers": [{"type": "dns", "value": "example.org"}, {"type": "ip", "value": "192.0.2.1"}],
    "authorizations": ["https://ca.example/authz/1", "https://ca.example/authz/2"],
    "finalize": "https://ca.example/finalize/1",
    "certificate": "https://ca.example/cert/1",
    "profile": "default",
    "replaces": "a.b",
    "error": {
        "type": "urn:ietf:params:acme:error:compound",
        "detail": "no",
        "status": 403,
        "identifier": {"type": "dns", "value": "example.org"},
        "algorithms": ["ES256"],
        "subproblems": [{"type": "x", "detail": "y", "identifier": {"type": "dns", "value": "a"}}],
    },
}
CHALLENGE = {
    "type": "http-01",
    "url": "https://ca.example/chall/1",
    "status": "pending",
    "token": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
    "error": ORDER["error"],
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "order": ORDER,
    "authorization": {
        "identifier": {"type": "dns", "value": "example.org"},
        "status": "pending",
        "expires": "2026-12-01T00:00:00Z",
        "wildcard": True,
        "challenges": [CHALLENGE, CHALLENGE | {"type": "dns-01"}, CHALLENGE | {"type": "x-foo-99"}],
    },
    "challenge": CHALLENGE,
    "account": {
        "status": "valid",
        "contact": ["mailto:a@example.org"],
        "termsOfServiceAgreed": True,
        "orders": "https://ca.example/orders/1",
    },
    "directory": {
        name: f"https://ca.example/{name}"
        for name in ("newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo")
    }
    | {
        "meta": {
            "termsOfService": "https://ca.example/terms",
            "website": "https://ca.example/",
            "caaIdentities": ["ca.example"],
            "externalAccountRequired": True,
            "profiles": {"default": "the usual"},
        }
    },
    "renewalInfo": {
        "suggestedWindow": {"start": "2027-01-22T10:00:00Z", "end": "2027-01-24T10:00:00Z"},
        "explanationURL": "https://ca.example/why",
    },
}
OURS = Challenge("https://ca.example/chall/1", ChallengeType.HTTP_01, ChallengeStatus.PENDING, "evaGxfADs6pSRb2LAv9IZf")
READERS: dict[str, Callable[[Document], object]] = {
    "order": lambda d: read_order(d, OrderUrl("https://ca.example/order/1"), None),
    "authorization": lambda d: read_authorization(d, "https://ca.example/authz/1", None),
    "challenge": lambda d: answered(OURS, d, None),
    "account": lambda d: read_account(d, AccountUrl("https://ca.example/acct/1")),
    "directory": lambda d: read_directory(json.dumps(d._fields).encode(), "https://ca.example/dir"),
    "renewalInfo": lambda d: read_renewal_info(d, NOW, None),
}
WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    10**300,
    "",
    "x",
    "\x1b[2J",
    "x" * 70_000,
    "\u202e",
    "http://evil.test/",
    "https://ca.example.evil.test/",
    [],
    [None],
    [[]],
    [{}],
    ["a", 1, None, {}],
    ["http://evil.test/"],
    {},
    {"": ""},
    {"type": 1, "value": 2},
    {"type": "dns", "value": ""},
    {"type": "ip", "value": "999.1.1.1"},
    {"type": "x-new", "value": "?"},
    [{"type": "dns", "value": "a"}] * 20_000,
]


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, below in entries:
        yield from paths(below, (*path, name))


def mutated(document: dict[str, Any], path: tuple[Any, ...], wrong: Any) -> dict[str, Any]:
    copy = deepcopy(document)
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    return copy


def read(kind: str, document: dict[str, Any]) -> object:
    try:
        return READERS[kind](Document(document, kind, CA))
    except CaProtocolError as why:
        assert len(str(why)) < 1000  # noqa: PT017 - both outcomes are fine, a crash is not
        return why


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_document_as_it_should_be_is_read(kind: str) -> None:
    assert not isinstance(read(kind, DOCUMENTS[kind]), CaProtocolError)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_each_field_may_be_each_wrong_thing(kind: str) -> None:
    """CA19: wrong types for each field, one at a time: a value or a CaProtocolError, nothing else."""
    count = 0
    for path in paths(DOCUMENTS[kind]):
        for wrong in WRONG:
            read(kind, mutated(DOCUMENTS[kind], path, wrong))
            count += 1
    assert count >= 100


def test_thousands_of_documents_with_several_wrong_fields() -> None:
    """CA19: 6,000 seeded mutations of two to five fields at once, or fields taken away."""
    chance = random.Random(42)
    for number in range(6000):
        kind = list(DOCUMENTS)[number % len(DOCUMENTS)]
        document = deepcopy(DOCUMENTS[kind])
        for _ in range(chance.randint(2, 5)):
            name = chance.choice(list(document) or ["x"])
            below = list(paths(DOCUMENTS[kind].get(name), (name,)))
            if chance.random() < 0.3:
                document.pop(name, None)
            elif chance.random() < 0.5 or len(below) == 1:
                document[name] = chance.choice(WRONG[:-1])
            else:
                fresh = mutated(DOCUMENTS[kind], chance.choice(below), chance.choice(WRONG[:-1]))
                document[name] = fresh[name]
        read(kind, document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=12), below, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(DOCUMENTS)), st.dictionaries(st.text(max_size=16), JSON, max_size=8))
def test_unknown_fields_change_nothing(kind: str, unknown: dict[str, Any]) -> None:
    """R17, CA20: "clients MUST ignore" what they do not know."""
    assert read(kind, unknown | DOCUMENTS[kind]) == read(kind, DOCUMENTS[kind])


@given(st.binary(max_size=200))
def test_any_octets_are_a_value_or_an_error(data: bytes) -> None:
    try:
        parse_json(data, "x")
    except CaProtocolError as why:
        str(why).encode()
