"""The request parser: RFC 9112 where it binds, refusal where it merely tolerates, never an exception (FZ7)."""

from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certd.listen.request_head import LONGEST_HEAD, BadHead, Incomplete, RequestHead, read_head
from tests.unit.listen.fakes import least_cpu_seconds

GOOD = b"GET /x HTTP/1.1\r\nHost: example.org\r\nUser-Agent: a b\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD, RequestHead("GET", "/x")),
        (b"\r\n" + GOOD, RequestHead("GET", "/x")),
        (GOOD + b"body\r\n\r\n", RequestHead("GET", "/x")),
        (b"GET /x HTTP/1.0\r\n\r\n", RequestHead("GET", "/x")),
        (b"HEAD /x HTTP/1.9\r\nhOST:a\r\n\r\n", RequestHead("HEAD", "/x")),
        (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", RequestHead("GET", "/x")),
        (b"GET http://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n", RequestHead("GET", "/x")),
        (b"GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n", RequestHead("GET", "")),
        (b"GET /http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", RequestHead("GET", "/http://a/x")),
        (b"get /x HTTP/1.1\r\nHost: a\r\n\r\n", RequestHead("get", "/x")),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\r\n\r\n", RequestHead("GET", "/x")),
    ],
)
def test_requests_are_read(data: bytes, expected: RequestHead) -> None:
    """What validators, proxies and people send."""
    assert read_head(data) == expected


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /x HTTP/1.1\r\n\r\n", 400),  # RFC 9112 §3.2: lacks Host
        (b"GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost : a\r\n\r\n", 400),  # §5.1: no white space before the colon
        (b"GET /x HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),  # §5.2: obs-fold
        (b"GET /x HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n: a\r\n\r\n", 400),
        (b"GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xc3\xbc HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /x\r\n\r\n", 400),
        (b"GET /x HTTP/1.11\r\nHost: a\r\n\r\n", 400),
        (b"\x00 /x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\nHost: a\n\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /x HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        (b"x" * LONGEST_HEAD, 431),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"x" * LONGEST_HEAD + b"\r\n\r\n", 431),
    ],
)
def test_broken_heads_are_refused(data: bytes, status: int) -> None:
    """Each rule of the grammar, broken once."""
    assert read_head(data) == BadHead(status)


def test_every_prefix_is_incomplete() -> None:
    """The parser must neither give up early nor see an end that is none."""
    assert all(read_head(GOOD[:end]) == Incomplete() for end in range(len(GOOD)))


def test_the_longest_head_is_still_read() -> None:
    """8 KiB, end included."""
    start = b"GET /x HTTP/1.1\r\nHost: a\r\nX: "
    fits = start + b"x" * (LONGEST_HEAD - len(start) - 4) + b"\r\n\r\n"
    assert len(fits) == LONGEST_HEAD
    assert read_head(fits) == RequestHead("GET", "/x")
    assert read_head(fits.replace(b"Host", b"xHost")) == BadHead(431)


@given(st.binary(max_size=2 * LONGEST_HEAD))
@example(b"\r\n\r\n")
@example(b"\r\n" * 5000)
def test_any_bytes_have_a_reading(data: bytes) -> None:
    """Never an exception."""
    assert isinstance(read_head(data), RequestHead | Incomplete | BadHead)


TEXT = st.text(alphabet=st.characters(max_codepoint=255), max_size=40)


@given(TEXT, TEXT, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=5), st.sampled_from(["\r\n", "\n", "\r", ""]))
def test_request_like_text_has_a_reading(
    method: str, target: str, version: str, fields: list[tuple[str, str]], end: str
) -> None:
    """What is read as a request holds no control character, no space and nothing beyond ASCII."""
    lines = [f"{method} {target} {version}", "Host: a", *(f"{name}: {value}" for name, value in fields), "", ""]
    found = read_head(end.join(lines).encode("latin-1"))
    assert isinstance(found, RequestHead | Incomplete | BadHead)
    if isinstance(found, RequestHead):
        assert all("!" <= char <= "~" for char in found.method + found.path)


@pytest.mark.parametrize("filler", [b" ", b"\t", b"a", b":", b"a:\r\n", b"http://", b"\r\n", b"%"])
def test_no_input_is_slow(filler: bytes) -> None:
    """No regular expression here may backtrack its way through 8 KiB."""
    for start in (b"GET /x HTTP/1.1\r\nHost:", b"GET ", b""):
        worst = (start + filler * LONGEST_HEAD)[: LONGEST_HEAD - 5] + b"\x00\r\n\r\n"
        assert least_cpu_seconds(partial(read_head, worst)) < 0.05
