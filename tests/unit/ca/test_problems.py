"""Problem documents: read from anything, shown in full, and each error type leads to its reaction at each endpoint."""

import json

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from certd.ca.problems import problem_in_object, read_identifier_leniently, read_problem
from certd.ca.transport import Reply
from certd.ca.unreachable import NoncesRefused
from certd.model.acme import NewOrder, OrderUrl, RevocationReason
from certd.model.errors import CaRefused
from certd.model.identifiers import Identifier, IdentifierType, parse_identifiers
from certd.model.problems import REACTIONS, URN, Problem, Reaction
from tests.fakes.clock import START
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import body, problem, reply, status

ONE = NewOrder(parse_identifiers(["example.org"]))


def read(content: bytes, code: int = 400, **headers: str) -> Problem:
    pairs = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return read_problem(Reply("https://ca.example/x", code, CIMultiDictProxy(pairs), content), START)


NO_PROBLEMS: dict[str, tuple[bytes, str]] = {
    "HTML": (b"<html><h1>502 Bad Gateway</h1></html>", "HTTP 502 with text/html instead of a problem document"),
    "empty": (b"", "HTTP 502 and nothing else"),
    "a list": (b"[]", "HTTP 502 with text/html instead of a problem document"),
    "cut off": (b'{"type": "urn', "HTTP 502 with text/html instead of a problem document"),
    "depth 100,000": (b"[" * 100_000, "HTTP 502 with text/html instead of a problem document"),
    "5,000 digits": (b"9" * 5000, "HTTP 502 with text/html instead of a problem document"),
    "octets": (bytes(range(256)), "HTTP 502 with text/html instead of a problem document"),
}


@pytest.mark.parametrize(("content", "detail"), NO_PROBLEMS.values(), ids=NO_PROBLEMS)
def test_what_is_no_problem_document_is_a_problem_with_its_status(content: bytes, detail: str) -> None:
    """R15: HTML of a front end, an empty body; the reaction follows from the HTTP class."""
    found = read(content, 502, Content_Type="text/html; charset=utf-8")
    assert (found.type, found.status, found.detail) == ("about:blank", 502, detail)
    assert found.reaction is Reaction.LATER


def test_a_detail_that_is_not_utf_8_is_shown_with_replacements() -> None:
    """R1: UTF-8 everywhere; what is not is replaced, and no exception hides the CA's words."""
    assert read(b'{"type": "x", "detail": "caf\xe9"}').detail == "caf\N{REPLACEMENT CHARACTER}"


def test_a_problem_under_another_content_type_is_read() -> None:
    """R15: `application/json` instead of `problem+json`."""
    found = read(
        json.dumps({"type": f"{URN}rateLimited", "detail": "slow down"}).encode(), 429, Content_Type="text/plain"
    )
    assert (found.kind, found.detail) == ("rateLimited", "slow down")


@pytest.mark.parametrize(
    ("code", "reaction"),
    [
        (500, Reaction.LATER),
        (503, Reaction.LATER),
        (429, Reaction.LATER),
        (408, Reaction.LATER),
        (409, Reaction.WITHOUT_REPLACES),
        (400, Reaction.NEW_ORDER),
        (404, Reaction.NEW_ORDER),
        (418, Reaction.NEW_ORDER),
    ],
)
@pytest.mark.parametrize("type_", [None, "about:blank", "urn:x:unheard-of", f"{URN}newFangled", 7, [], {}])
def test_an_unknown_or_missing_type_is_handled_by_http_class(code: int, reaction: Reaction, type_: object) -> None:
    """R15: §6.7."""
    document = {"detail": "?"} if type_ is None else {"detail": "?", "type": type_}
    assert read(json.dumps(document).encode(), code).reaction is reaction


def test_the_status_is_the_one_of_http() -> None:
    """R15: what the document says of its status may be anything."""
    wrongs: list[object] = [200, "503", None, 1e99, -1, [], 10**30]
    for wrong in wrongs:
        assert read(json.dumps({"type": "x", "status": wrong}).encode(), 403).status == 403


def test_the_title_stands_in_for_a_missing_detail() -> None:
    """R15."""
    assert read(b'{"title": "Too many requests"}').detail == "Too many requests"
    assert str(read(b"{}", 400)) == "no detail given (HTTP 400)"


def test_one_bad_name_of_a_hundred_is_the_one_reported() -> None:
    """R16: subproblems with identifiers; only the failing name is named."""
    subs = [
        {
            "type": f"{URN}rejectedIdentifier",
            "detail": "policy forbids it",
            "identifier": {"type": "dns", "value": "Bad.Example.ORG"},
        }
    ]
    found = read(json.dumps({"type": f"{URN}rejectedIdentifier", "detail": "1 of 100", "subproblems": subs}).encode())
    assert [sub.identifier for sub in found.subproblems] == [Identifier(IdentifierType.DNS, "bad.example.org")]
    assert found.subproblems[0].kind == "rejectedIdentifier"


def test_a_compound_problem_keeps_its_parts_and_their_depth_is_bounded() -> None:
    """R16: `compound`; ten thousand parts, parts of parts of parts."""
    many = [{"type": "x", "detail": "y"}] * 10_000
    assert len(read(json.dumps({"type": f"{URN}compound", "subproblems": many}).encode()).subproblems) == 200
    deep: dict[str, object] = {"type": "bottom"}
    for _ in range(20):
        deep = {"type": "layer", "subproblems": [deep]}
    found, depth = read(json.dumps(deep).encode()), 0
    while found.subproblems:
        found, depth = found.subproblems[0], depth + 1
    assert depth == 2


def test_the_algorithms_of_a_refused_signature_are_known() -> None:
    """R8: so that the next key can be one that the CA takes; never tried again with the same."""
    document = {"type": f"{URN}badSignatureAlgorithm", "algorithms": ["ES384", 7, "RS256", "x" * 900]}
    found = read(json.dumps(document).encode())
    assert found.algorithms[:2] == ("ES384", "RS256")
    assert all(len(name) <= 32 for name in found.algorithms)
    assert found.reaction is Reaction.NEW_KEY


async def test_a_refused_signature_algorithm_makes_no_loop(fake: FakeCa, connect: Connect) -> None:
    """R8: one request, one error."""
    ca = await connect(registered=False)
    fake.always("newAccount", problem("badSignatureAlgorithm", 400, more={"algorithms": ["RS256"]}))
    with pytest.raises(CaRefused) as caught:
        await ca.register(terms_agreed=True)
    assert caught.value.problem.algorithms == ("RS256",)
    assert fake.count("newAccount") == 1


def test_what_a_person_must_open_is_https_and_shown() -> None:
    """R27: the instance, else the new terms; never fetched, and nothing but https."""
    document = {"type": f"{URN}userActionRequired", "detail": "new terms", "instance": "https://ca.example/agree?t=1"}
    terms = '<https://ca.example/terms/2>;rel="terms-of-service"'
    assert read(json.dumps(document).encode(), 403, Link=terms).instance == "https://ca.example/agree?t=1"
    del document["instance"]
    assert read(json.dumps(document).encode(), 403, Link=terms).instance == "https://ca.example/terms/2"
    document["instance"] = "javascript:alert(1)"
    assert read(json.dumps(document).encode(), 403).instance == ""


async def test_an_action_of_a_person_is_hinted_at_once_and_not_tried_again(fake: FakeCa, connect: Connect) -> None:
    """R27: §7.3.3."""
    ca = await connect()
    more = {"instance": "https://ca.example/agree"}
    fake.next("newOrder", problem("userActionRequired", 403, more=more))
    with pytest.raises(CaRefused) as caught:
        await ca.new_order(ONE)
    assert caught.value.problem.reaction is Reaction.HUMAN
    assert "https://ca.example/agree" in caught.value.hint
    assert fake.count("newOrder") == 1


def test_a_pause_is_for_a_person() -> None:
    """R14: Let's Encrypt's paused pairs come as rateLimited, and only its page unpauses them."""
    detail = (
        "Your account is temporarily prevented from requesting certificates for x. It is paused. Unpause: https://…"
    )
    assert read(json.dumps({"type": f"{URN}rateLimited", "detail": detail}).encode(), 429).reaction is Reaction.HUMAN


def test_texts_are_fit_for_a_terminal_and_bounded() -> None:
    """SE5: ANSI, line breaks, 1 MB of detail."""
    document = {"type": "urn:\x1b[2Jx", "detail": "a\x1b[31m\r\nb" + "c" * 1_000_000, "instance": "https://x/\x07"}
    found = read(json.dumps(document).encode())
    assert len(found.detail) <= 2048
    assert not any(ord(c) < 32 for c in found.detail + found.type + found.instance)


def test_the_old_name_space_is_understood() -> None:
    assert read(b'{"type": "urn:acme:error:badNonce"}').reaction is Reaction.NEW_NONCE


@pytest.mark.parametrize("value", [None, "x", 1, [], True])
def test_an_error_that_is_no_object_is_none(value: object) -> None:
    """R40: `error` of a challenge or order."""
    assert problem_in_object(value) is None


IDENTIFIERS: list[tuple[object, str | None]] = [
    ({"type": "dns", "value": "Example.ORG."}, "example.org"),
    ({"type": "dns", "value": "*.example.org"}, "*.example.org"),
    ({"type": "ip", "value": "2001:DB8::0:1"}, "2001:db8::1"),
    ({"type": "ip", "value": "192.0.2.1"}, "192.0.2.1"),
    ({"type": "ip", "value": "no address"}, "no address"),
    ({"type": "email", "value": "a@b"}, None),
    ({"type": "dns", "value": ""}, None),
    ({"type": "dns", "value": "x" * 300}, None),
    ({"type": "dns"}, None),
    ("example.org", None),
]


@pytest.mark.parametrize(("value", "text"), IDENTIFIERS, ids=repr)
def test_identifiers_are_read_in_the_one_form_that_certd_has(value: object, text: str | None) -> None:
    """R20: upper case and long IPv6 forms are the same identifier; unknown types are none."""
    found = read_identifier_leniently(value)
    assert (found.value if found else None) == text


# Every error type at every endpoint (CA39)

ENDPOINTS = ["newAccount", "account", "newOrder", "order", "authorization", "challenge", "finalize", "certificate"]
ENDPOINTS += ["revokeCert", "keyChange", "renewalInfo"]


@pytest.mark.parametrize("kind", ENDPOINTS)
async def test_each_error_type_at_each_endpoint_has_the_reaction_of_the_table(
    fake: FakeCa, connect: Connect, kind: str
) -> None:
    """CA39: alone and as a subproblem; one request each, but for badNonce, which is an outage when it does not end."""
    from tests.unit.ca.steps import Steps

    steps = await Steps.prepare(fake, connect)
    for name, reaction in REACTIONS.items():
        sub = [{"type": f"{URN}{name}", "detail": "sub", "identifier": {"type": "dns", "value": "example.org"}}]
        fake.always(kind, problem(name, 403, more={"subproblems": sub}))
        before = fake.count(kind)
        if reaction is Reaction.SUCCESS and kind == "revokeCert":
            await steps.run(kind)
            continue
        nonces = reaction is Reaction.NEW_NONCE and kind != "renewalInfo"
        with pytest.raises(NoncesRefused if nonces else CaRefused) as caught:
            await steps.run(kind)
        assert isinstance(caught.value, NoncesRefused | CaRefused)
        refused = caught.value.problem
        assert refused.reaction is reaction
        assert refused.subproblems[0].reaction is reaction
        most = 10 if nonces else 1
        assert 1 <= fake.count(kind) - before <= most


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 410, 415, 429, 500, 502, 503, 504])
async def test_html_with_each_status_is_refused_with_that_status(fake: FakeCa, connect: Connect, code: int) -> None:
    """CA15, R15."""
    ca = await connect()
    fake.next("order", reply(code, "<html>", Content_Type="text/html"))
    with pytest.raises(CaRefused) as caught:
        await ca.fetch_order(OrderUrl(f"{fake.base}/order/1"))
    assert caught.value.problem.status == code
    assert str(caught.value).startswith(fake.base.removeprefix("https://"))


async def test_a_success_that_is_html_is_a_broken_protocol(fake: FakeCa, connect: Connect) -> None:
    """CA20, I31."""
    from certd.model.errors import CaProtocolError

    ca = await connect()
    fake.next("newOrder", body(b"<html>"))
    with pytest.raises(CaProtocolError, match="not JSON"):
        await ca.new_order(ONE)


async def test_a_wrong_content_type_of_a_good_object_is_forgiven(fake: FakeCa, connect: Connect) -> None:
    """CA20."""
    from tests.unit.ca.faults import after

    ca = await connect()
    fake.next("newOrder", after(Content_Type="text/html"))
    await ca.new_order(ONE)


async def test_a_new_order_with_200_is_an_order(fake: FakeCa, connect: Connect) -> None:
    """R21: some servers say 200 where they hand out a known order again."""
    ca = await connect()
    fake.next("newOrder", status(200))
    assert (await ca.new_order(ONE)).status.value == "pending"


async def test_an_error_names_the_ca_the_request_and_the_words_of_the_ca(fake: FakeCa, connect: Connect) -> None:
    """R15: "SHOULD display the 'detail'"."""
    ca = await connect()
    fake.next("revokeCert", problem("badRevocationReason", 400, more={"detail": "reason 1 needs the key"}))
    with pytest.raises(CaRefused) as caught:
        await ca.revoke(b"x", RevocationReason.KEY_COMPROMISE)
    host = fake.base.removeprefix("https://")
    assert str(caught.value) == f"{host}: revokeCert: reason 1 needs the key ({URN}badRevocationReason)"
