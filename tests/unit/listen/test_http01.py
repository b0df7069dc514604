"""The http-01 responder over real sockets: one path, exact bytes, nothing else (R43, SE6, CA36)."""

import asyncio
import random
import string

import pytest

from certd.listen.http01 import PREFIX, answer
from certd.listen.request_head import BadHead, Incomplete, RequestHead, read_head
from certd.model.clock import SystemClock
from certd.model.proofs import Proof
from tests.unit.listen.fakes import START, TOKEN, Rows, converse, http_listener, http_proof, request

PATH = PREFIX + TOKEN


async def test_the_key_authorization_goes_out_byte_by_byte() -> None:
    """RFC 8555 §8.3: the body is the key authorization; a newline more would fail old validators."""
    proof = http_proof()
    rows = Rows(proof)
    async with http_listener(rows) as address:
        reply = await converse(address, request(PATH))
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert body == proof.value.encode()
    assert {"Content-Type: application/octet-stream", f"Content-Length: {len(body)}", "Connection: close"} <= set(lines)
    assert rows.seen == [proof]


async def test_head_answers_without_body_and_is_no_validation() -> None:
    """A load balancer's health check must not look like the CA's request."""
    rows = Rows(http_proof())
    async with http_listener(rows) as address:
        reply = await converse(address, request(PATH, method="HEAD"))
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 87\r\n" in reply
    assert reply.endswith(b"\r\n\r\n")
    assert rows.seen == []


@pytest.mark.parametrize("host", ["example.org", "EXAMPLE.org:80", "127.0.0.1", "[2001:db8::1]", "other.test", ""])
async def test_any_host_is_answered(host: str) -> None:
    """The token says which proof is meant; proxies and IP validators send hosts we cannot foresee."""
    async with http_listener(Rows(http_proof())) as address:
        assert b" 200 OK\r\n" in await converse(address, request(PATH, host=host))


async def test_five_validators_from_five_addresses_are_all_answered() -> None:
    """CA36: perspectives ask at once and late, from different networks."""
    proof = http_proof()
    rows = Rows(proof)
    async with http_listener(rows) as address:
        replies = await asyncio.gather(
            *(converse(address, request(PATH), source=f"127.0.0.{last}") for last in range(11, 16))
        )
    assert all(reply.endswith(proof.value.encode()) for reply in replies)
    assert rows.seen == [proof] * 5


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/.well-known/acme-challenge",
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/unknown",
        PATH + "/",
        PATH + "?x=1",
        PATH + "%00",
        "/" + PATH,
        "/x/.." + PATH,
        PREFIX + "../../etc/passwd",
        PREFIX + "%2e%2e/etc/passwd",
        PREFIX + "a" * 300,
        PREFIX + TOKEN.replace("e", "%65", 1),
        PREFIX.upper() + TOKEN,
        TOKEN,
        "*",
        "example.org:443",
    ],
)
async def test_everything_else_is_not_found_and_empty(path: str) -> None:
    """SE6: no listing, no decoding, no other path."""
    rows = Rows(http_proof())
    async with http_listener(rows) as address:
        reply = await converse(address, request(path))
    assert reply.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert reply.endswith(b"\r\nContent-Length: 0\r\n\r\n")
    assert rows.seen == []


@pytest.mark.parametrize("token", ["../x", "%2e", "a" * 129, "", "a b", "ü", "a/b", "a.b", "a\x00"])
def test_a_token_outside_base64url_is_never_looked_up(token: str) -> None:
    """R43: the lookup may be a database or a file system; it sees clean tokens only."""
    rows = Rows()
    assert b" 404 " in answer(RequestHead("GET", PREFIX + token), rows, START).data
    assert rows.looked_up == []


def test_an_absolute_request_target_is_the_same_request() -> None:
    """RFC 9112 §3.2.2: servers MUST accept the absolute-form, proxies send it."""
    rows = Rows(http_proof())
    head = read_head(f"GET http://example.org{PATH} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode())
    assert isinstance(head, RequestHead)
    assert head == RequestHead("GET", PATH)
    assert answer(head, rows, START).proof is not None


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b"405 Method Not Allowed"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"505 HTTP Version Not Supported"),
        (b"GET /\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\nHost: a\n\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000, b"431 Request Header Fields Too Large"),
    ],
)
async def test_broken_requests_are_refused_with_their_status(sent: bytes, status: bytes) -> None:
    """A person with telnet learns what was wrong; nobody learns more."""
    async with http_listener(Rows(http_proof())) as address:
        reply = await converse(address, sent)
    assert reply.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert reply.endswith(b"Content-Length: 0\r\n\r\n")


async def test_the_answer_survives_a_body_that_nobody_reads() -> None:
    """Closing on unread bytes makes the kernel send a reset, which can destroy the answer on its way."""
    proof = http_proof()
    async with http_listener(Rows(proof)) as address:
        for _ in range(20):
            reply = await converse(address, request(PATH) + b"x" * 30_000)
            assert reply.endswith(proof.value.encode())


async def test_a_second_request_on_the_connection_is_not_answered() -> None:
    """`Connection: close` is meant: nothing can be smuggled in behind the first request."""
    async with http_listener(Rows(http_proof())) as address:
        reply = await converse(address, request("/nothing") + request(PATH))
    assert reply.count(b"HTTP/1.1") == 1
    assert b" 404 " in reply


async def test_a_withdrawn_proof_is_gone_at_once() -> None:
    """The row is the answer: what is not in force is not served (SE6)."""
    rows = Rows(http_proof())
    async with http_listener(rows) as address:
        assert b" 200 " in await converse(address, request(PATH))
        rows.proofs.clear()
        assert b" 404 " in await converse(address, request(PATH))


async def test_a_request_in_single_bytes_is_answered() -> None:
    """TCP may cut anywhere."""
    async with http_listener(Rows(http_proof())) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        for byte in request(PATH):
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        assert b" 200 OK\r\n" in await reader.read()
        writer.close()


async def test_a_thousand_random_requests_get_no_other_byte() -> None:
    """SE6: whatever is asked, only the proof of a token in force ever goes out, and only for its own path."""
    proof = http_proof()
    rows = Rows(proof)
    dice = random.Random(8555)
    async with http_listener(rows, SystemClock()) as address:
        for _ in range(1000):
            asked = _random_request(dice)
            check_reply(asked, await converse(address, asked), proof)
    assert rows.seen == [proof] * len(rows.seen)


def test_a_hundred_thousand_random_requests_get_no_other_byte() -> None:
    """SE6, without the sockets."""
    proof = http_proof()
    rows = Rows(proof)
    dice = random.Random(9112)
    told = 0
    for _ in range(100_000):
        asked = _random_request(dice)
        head = read_head(asked)
        if not isinstance(head, Incomplete):
            reply = answer(head, rows, START)
            check_reply(asked, reply.data, proof)
            told += reply.proof is not None
    assert told > 100, "the proof is among what was asked for"


def check_reply(asked: bytes, reply: bytes, proof: Proof) -> None:
    head, end, body = reply.partition(b"\r\n\r\n")
    assert end
    shown = head.startswith(b"HTTP/1.1 200 ")
    assert body == (proof.value.encode() if shown and asked.startswith(b"GET ") else b"")
    assert not shown or PATH.encode() in asked


def _random_request(dice: random.Random) -> bytes:
    pieces = ["/", "..", "%2e", ".well-known", "acme-challenge", TOKEN, "?", "#", "http://a", "\\", "*", " ", ""]
    path = dice.choice([PATH, PREFIX]) if dice.random() < 0.5 else ""
    path += "".join(dice.choices([*pieces, *string.ascii_letters], k=dice.randrange(4)))
    method = dice.choice(["GET", "GET", "GET", "HEAD", "POST", "PUT", "get", "GET\t", "PRI"])
    version = dice.choice(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "http/1.1", ""])
    odd = ["X : y\r\n", " fold\r\n", "Host: b\r\n"]
    fields = dice.choices(
        ["Host: a\r\n", "Range: bytes=0-1\r\n", "Expect: 100-continue\r\n", *odd], [9, 2, 2, 1, 1, 1], k=2
    )
    return f"{method} {path} {version}\r\n{''.join(fields)}\r\n".encode()


@pytest.mark.parametrize("status", [400, 431, 505])
def test_a_bad_head_is_never_looked_up(status: int) -> None:
    """What is not a request asks for nothing."""
    rows = Rows(http_proof())
    assert answer(BadHead(status), rows, START).proof is None
    assert rows.looked_up == []


def test_replies_carry_the_date_in_english() -> None:
    """RFC 9110 §6.6.1: a server with a clock MUST send Date; strftime would follow the locale."""
    assert b"\r\nDate: Tue, 24 Nov 2026 02:14:07 GMT\r\n" in answer(BadHead(400), Rows(), START).data
