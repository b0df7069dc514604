"""CA fault matrix, the client's part: each endpoint meets each fault (reliability 4.2: CA2 to CA28).

Each cell ends soon, within ten requests, either well or with an error that says what was asked of whom; and the same
call then works, so nothing of the conversation is broken for good.
"""

import asyncio
import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from certd.ca.kinds import ALLOWANCES, MOST_REQUESTS
from certd.model.errors import CaError, CaRefused
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa, Fault
from tests.unit.ca.faults import after, bad_nonce, changed, lost, problem, raw, reply, status
from tests.unit.ca.steps import Steps

ENDPOINTS = [
    "directory",
    "newNonce",
    "newAccount",
    "newOrder",
    "authorization",
    "challenge",
    "finalize",
    "order",
    "certificate",
    "renewalInfo",
    "revokeCert",
    "keyChange",
]
QUICK = {kind: replace(allowance, seconds=0.15) for kind, allowance in ALLOWANCES.items()}
SLOW = {"hang", "hang in the body", "body trickles", "1xx storm"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
HTML = "<html><body><h1>Bad Gateway</h1></body></html>"


def everywhere(value: object) -> Fault:
    """Every field of the reply's object becomes *value*."""
    return changed(lambda document: document.update(dict.fromkeys(document, value)))


FAULTS: dict[str, Fault] = {
    "no byte": lost(),
    "no byte, but done": lost(handled=True),
    "reset in the headers": raw(HEAD),
    "reset in the body": raw(HEAD + b"\r\n{"),
    "not HTTP": raw(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "a header of 9 KiB": raw(HEAD + b"X: " + b"a" * 9000 + b"\r\n\r\n"),
    "hang": raw(then_hang=True),
    "hang in the body": raw(HEAD + b"\r\n{", then_hang=True),
    "body trickles": raw(HEAD + b"\r\n", *[b" "] * 20, pause=0.1),
    "1xx storm": raw(*[b"HTTP/1.1 102 P\r\n\r\n"] * 20, pause=0.05),
    "429": problem("rateLimited", 429, Retry_After="60"),
    "503 with a date": reply(503, HTML, Retry_After="Tue, 24 Nov 2026 09:01:00 GMT"),
    "503 with nonsense": reply(503, HTML, Retry_After="1e99"),
    "500 HTML": reply(500, HTML, Content_Type="text/html"),
    "502 HTML": reply(502, HTML, Content_Type="text/html"),
    "504 empty": reply(504),
    "404 about nothing": reply(404, b"{}"),
    "204": reply(204),
    "301 elsewhere": reply(301, Location="https://evil.test/"),
    "302 to plain http": reply(302, Location="http://127.0.0.1/"),
    "307 to itself": reply(307, Location="/dir"),
    "308 without Location": reply(308),
    "304": reply(304),
    "HTML with 200": reply(200, HTML, Content_Type="text/html"),
    "empty with 200": reply(200),
    "truncated JSON": reply(200, b'{"status": "val'),
    "a list": reply(200, b"[]"),
    "deep JSON": reply(200, b"[" * 100_000),
    "2 MiB": reply(200, b" " * (2 << 20)),
    "gzip bomb": reply(200, gzip.compress(b" " * (32 << 20), 1), Content_Encoding="gzip"),
    "not gzip": reply(200, b"{}", Content_Encoding="gzip"),
    "duplicate keys": reply(200, b'{"status":"valid","status":"pending"}'),
    "5,000 digits": reply(200, b'{"status":' + b"9" * 5000 + b"}"),
    "NaN": reply(200, b'{"status":NaN}'),
    "lone surrogate": reply(200, b'{"status":"\\ud800"}'),
    "nulls": reply(200, json.dumps(dict.fromkeys(["status", "identifiers", "challenges", "newOrder"]))),
    "ten thousand links": after(Link=", ".join(f"</{n}>;rel=x" for n in range(800))),
    "wrong content type": after(Content_Type="image/png"),
    "no nonce": after(Replay_Nonce=""),
    "an unfit nonce": after(Replay_Nonce="a b="),
    "a Date of next year": after(Date="Tue, 28 Dec 2027 09:00:00 GMT"),
    "201 for 200": status(201),
    "badNonce": bad_nonce(),
    "badNonce without nonce": problem("badNonce"),
    "badNonce with an unfit nonce": problem("badNonce", nonce="a b"),
}
OBJECTS: dict[str, Fault] = {
    f"every field {value!r}"[:40]: everywhere(value)
    for value in (None, 7, "x", "\x1b[2J", [], ["x"], {}, {"type": "dns"}, "http://evil.test/", "x" * 5000)
}
WITH_OBJECTS = {"directory", "newAccount", "newOrder", "authorization", "challenge", "finalize", "order", "renewalInfo"}


async def attempt(steps: Steps, kind: str) -> str:
    """`recovered`, or the error; anything but a CaError fails the test."""
    if kind == "newNonce":
        steps.ca._talk.exchange._nonces._pool.clear()
    try:
        await steps.run("order" if kind == "newNonce" else kind)
    except CaError as why:
        return str(why)
    return "recovered"


async def _fresh(steps: Steps, kind: str) -> None:
    """Undo what a fault let the CA do, so that the next cell begins as this one did."""
    steps.fake._always.clear()
    steps.fake.state.revoked.clear()
    if kind == "keyChange":
        steps.ca = await steps.reconnect()
    if kind == "finalize":
        steps.fake.state.orders[steps.ready.url.rsplit("/", 1)[-1]]["status"] = "ready"
        steps.ca = await steps.reconnect()
    if kind == "challenge":
        number = steps.authorization.url.rsplit("/", 1)[-1]
        for challenge in steps.fake.state.authorizations[number]["challenges"]:
            challenge["status"] = "pending"


@pytest.mark.parametrize("kind", ENDPOINTS)
async def test_each_fault_at_an_endpoint_ends_soon_and_breaks_nothing(
    fake: FakeCa, connect: Connect, kind: str
) -> None:
    """CA2 to CA28: 0 crashes, at most ten requests, a reason that names the CA; recovered afterwards."""
    limits = dict(ALLOWANCES)
    steps = await Steps.prepare(fake, connect, allowances=limits)
    table = FAULTS | (OBJECTS if kind in WITH_OBJECTS else {})
    if kind == "newNonce":
        del table["body trickles"]  # a HEAD has none: the octets would spoil the next reply on that connection
    host = fake.base.removeprefix("https://")
    for name, fault in table.items():
        before = fake.count(kind)
        fake.always(kind, fault)
        limits |= QUICK if name in SLOW else {}
        async with asyncio.timeout(5):
            outcome = await attempt(steps, kind)
        limits |= ALLOWANCES
        sent = fake.count(kind) - before
        assert sent <= MOST_REQUESTS, f"{name}: {sent} requests"
        assert outcome == "recovered" or host in outcome, f"{name}: {outcome}"
        assert len(outcome) < 1200, f"{name}: {outcome}"
        assert outcome.isprintable(), f"{name}: {outcome!r}"
        await _fresh(steps, kind)
        assert await attempt(steps, kind) == "recovered", f"{name}: {kind} does not work any more"
        await _fresh(steps, kind)


@pytest.mark.parametrize("kind", ENDPOINTS)
async def test_each_error_status_is_sent_once_and_keeps_its_status(fake: FakeCa, connect: Connect, kind: str) -> None:
    """CA14, CA15: nothing but a bad nonce is tried again; an error never looks like success."""
    steps = await Steps.prepare(fake, connect)
    for code in (400, 401, 403, 404, 409, 429, 500, 502, 503):
        fake.always(kind, reply(code, HTML, Content_Type="text/html"))
        before = fake.count(kind)
        steps.ca._talk.exchange._nonces._pool.clear()
        with pytest.raises(CaRefused) as caught:
            await steps.run("order" if kind == "newNonce" else kind)
        assert caught.value.problem.status == code
        assert fake.count(kind) - before == 1


LOSSES: list[Any] = [lost(), lost(handled=True), raw(HEAD), raw(HEAD + b"\r\n{")]
EXPECTED = {"newOrder": 1, "finalize": 1, "keyChange": 1, "newAccount": 2, "challenge": 2, "revokeCert": 2}


@pytest.mark.parametrize("kind", EXPECTED)
async def test_what_changes_something_is_repeated_only_where_that_is_safe(
    fake: FakeCa, connect: Connect, kind: str
) -> None:
    """CA2, CA3: a lost reply to newOrder, finalize or keyChange leaves the question to the workflow."""
    for fault in LOSSES:
        steps = await Steps.prepare(fake, connect)
        fake.always(kind, fault)
        before = fake.count(kind)
        with pytest.raises(CaError):
            await steps.run(kind)
        assert fake.count(kind) - before <= EXPECTED[kind]
        fake._always.clear()
