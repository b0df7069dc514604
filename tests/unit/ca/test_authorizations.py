"""Authorizations and challenges: what is odd in one never spoils the rest (RFC 8555 §7.1.4, §7.5, §8)."""

from typing import Any

import pytest

from certd.ca.authorization import read_authorization
from certd.ca.document import Document
from certd.ca.origin import Origin
from certd.model.acme import AuthorizationStatus, ChallengeStatus, ChallengeType, NewOrder
from certd.model.errors import CaProtocolError, CaRefused
from certd.model.identifiers import parse_identifier, parse_identifiers
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import after, changed, problem
from tests.unit.ca.steps import Steps

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
CA = Origin("ca.example", 443)
HTTP = {"type": "http-01", "url": "https://ca.example/c/1", "status": "pending", "token": TOKEN}
DNS = HTTP | {"type": "dns-01", "url": "https://ca.example/c/2"}


def read(*challenges: object, **fields: object) -> Any:
    document = {"identifier": {"type": "dns", "value": "example.org"}, "status": "pending"} | fields
    return read_authorization(
        Document(document | {"challenges": list(challenges)}, "authz", CA), "https://ca.example/authz/1", None
    )


async def test_apex_and_wildcard_are_told_apart_whatever_the_sequence(fake: FakeCa, connect: Connect) -> None:
    """R20: identifier without `*.` and `wildcard: true`; matched by identifier, never by position."""
    names = parse_identifiers(["example.org", "*.example.org"])
    ca = await connect()
    order = await ca.new_order(NewOrder(names))
    found = [await ca.fetch_authorization(url) for url in order.authorizations]
    assert {a.identifier for a in found} == set(names)
    wildcard = next(a for a in found if a.identifier.is_wildcard)
    assert {c.type for c in wildcard.challenges} == {ChallengeType.DNS_01}


@pytest.mark.parametrize(
    ("value", "flag", "text"),
    [
        ("example.org", True, "*.example.org"),
        ("example.org", False, "example.org"),
        ("example.org", None, "example.org"),
        ("example.org", "yes", "example.org"),
        ("*.example.org", True, "*.example.org"),
        ("*.example.org", None, "*.example.org"),
    ],
)
def test_a_wildcard_has_its_star_back(value: str, flag: object, text: str) -> None:
    """R20: as it was ordered; some old servers leave the star in."""
    assert read(identifier={"type": "dns", "value": value}, wildcard=flag).identifier == parse_identifier(text)


def test_a_valid_authorization_needs_no_challenge() -> None:
    """R21: a reused one; its challenges may be gone."""
    found = read(status="valid")
    assert (found.status, found.challenges) == (AuthorizationStatus.VALID, ())


@pytest.mark.parametrize("status", ["expired", "deactivated", "revoked", "invalid"])
def test_each_end_of_an_authorization_is_known(status: str) -> None:
    """R22, B1: acme's messages do not know `expired`."""
    assert read(HTTP, status=status).status.is_final


ODD: dict[str, Any] = {
    "an unknown type": {"type": "x-foo-99", "url": "https://ca.example/c/9", "status": "pending"},
    "no type": {"url": "https://ca.example/c/9", "status": "pending", "token": TOKEN},
    "a type that is no string": HTTP | {"type": 1},
    "no token": {k: v for k, v in HTTP.items() if k != "token"},
    "no URL": {k: v for k, v in HTTP.items() if k != "url"},
    "a URL elsewhere": HTTP | {"url": "https://evil.test/c/1"},
    "a plain http URL": HTTP | {"url": "http://ca.example/c/1"},
    "no object": "http-01",
    "null": None,
    "token ../../etc/x": HTTP | {"token": "../../../../../etc/passwd"},
    "token %2e": HTTP | {"token": "%2e%2e%2f%2e%2e%2fetc"},
    "token of 300": HTTP | {"token": "a" * 300},
    "token empty": HTTP | {"token": ""},
    "token padded": HTTP | {"token": TOKEN + "="},
    "token with a newline": HTTP | {"token": TOKEN + "\n"},
    "token with a slash": HTTP | {"token": "a/b" * 10},
    "token a number": HTTP | {"token": 123456789012345678901234},
    "token not ASCII": HTTP | {"token": "é" * 30},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_challenge_is_left_out_and_the_others_stay(odd: Any) -> None:
    """R40, R43, R4, I31: unknown types, missing or unfit tokens (never a path), padded base64url, URLs elsewhere."""
    found = read(odd, DNS, odd)
    assert [c.type for c in found.challenges] == [ChallengeType.DNS_01]


def test_what_was_offered_is_known_by_name() -> None:
    """R40: for the message that says why none of it can be answered."""
    found = read({"type": "x-foo-99"}, HTTP, {"type": "dns-persist-01"}, HTTP, {"type": "\x1b[2J" + "y" * 900})
    assert found.offered[:3] == ("x-foo-99", "http-01", "dns-persist-01")
    assert all(len(name) <= 64 and name.isprintable() for name in found.offered)


def test_of_two_challenges_of_one_type_the_first_counts() -> None:
    """R40: duplicate types."""
    found = read(HTTP, HTTP | {"url": "https://ca.example/c/3", "token": TOKEN[::-1]})
    assert [c.url for c in found.challenges] == ["https://ca.example/c/1"]


@pytest.mark.parametrize("challenges", [(), ([],), ({},)])
def test_no_challenge_at_all_is_an_authorization_without(challenges: tuple[Any, ...]) -> None:
    """R40: empty list."""
    assert read(*challenges).challenges == ()


def test_ten_thousand_challenges_are_looked_at_up_to_a_limit() -> None:
    found = read(*[{"type": f"x-{number}"} for number in range(9_000)], HTTP)
    assert found.challenges == ()
    assert len(found.offered) == 32


def test_a_failed_challenge_shows_its_error() -> None:
    """R40: `error` is shown."""
    error = {"type": "urn:ietf:params:acme:error:connection", "detail": "timeout", "status": 400}
    found = read(HTTP | {"status": "invalid", "error": error}, DNS, status="invalid")
    assert found.problem is not None
    assert (found.problem.kind, found.problem.detail) == ("connection", "timeout")
    assert found.challenges[0].status is ChallengeStatus.INVALID


def test_an_authorization_without_identifier_is_refused() -> None:
    for identifier in (None, {}, {"type": "x-new", "value": "?"}, "example.org"):
        with pytest.raises(CaProtocolError, match="identifier"):
            read(HTTP, identifier=identifier)


async def test_a_challenge_is_answered_with_an_empty_object(fake: FakeCa, connect: Connect) -> None:
    """R9: `{}`, which is not a POST-as-GET."""
    steps = await Steps.prepare(fake, connect)
    found = await steps.ca.answer(steps.authorization.challenges[0])
    assert fake.last("challenge").payload == {}
    assert found.status is ChallengeStatus.VALID


async def test_the_answers_reply_changes_neither_token_nor_url_nor_type(fake: FakeCa, connect: Connect) -> None:
    """R43: the proof in the journal belongs to the token that was published."""
    steps = await Steps.prepare(fake, connect)
    ours = steps.authorization.challenges[0]
    fake.next("challenge", changed(lambda c: c.update(token="other" * 8, url="https://evil.test/", type="dns-01")))
    found = await steps.ca.answer(ours)
    assert (found.token, found.url, found.type) == (ours.token, ours.url, ours.type)


async def test_a_challenge_brings_its_retry_after(fake: FakeCa, connect: Connect) -> None:
    """R37: not polled before."""
    steps = await Steps.prepare(fake, connect)
    fake.next("challenge", after(Retry_After="5"))
    assert (await steps.ca.answer(steps.authorization.challenges[0])).retry_after is not None


async def test_a_refused_answer_is_the_workflows_to_clean_up_after(fake: FakeCa, connect: Connect) -> None:
    """R36: 400 and 409 on a challenge are raised, and sent once."""
    steps = await Steps.prepare(fake, connect)
    for code in (400, 409):
        before = fake.count("challenge")
        fake.next("challenge", problem("malformed", code))
        with pytest.raises(CaRefused):
            await steps.ca.answer(steps.authorization.challenges[0])
        assert fake.count("challenge") == before + 1


async def test_a_challenge_that_goes_back_is_refused(fake: FakeCa, connect: Connect) -> None:
    """R22."""
    steps = await Steps.prepare(fake, connect)
    done = await steps.ca.answer(steps.authorization.challenges[0])
    fake.next("challenge", changed(lambda c: c.update(status="pending")))
    with pytest.raises(CaProtocolError, match="from valid to pending"):
        await steps.ca.answer(done)


async def test_an_authorization_that_goes_back_is_refused(fake: FakeCa, connect: Connect) -> None:
    """R22: valid, then pending."""
    steps = await Steps.prepare(fake, connect)
    url = steps.valid.authorizations[0]
    assert (await steps.ca.fetch_authorization(url)).status is AuthorizationStatus.VALID
    fake.next("authorization", changed(lambda a: a.update(status="pending")))
    with pytest.raises(CaProtocolError, match="from valid to pending"):
        await steps.ca.fetch_authorization(url)


async def test_an_authorization_is_deactivated(fake: FakeCa, connect: Connect) -> None:
    """R38: so that no pile of pending ones grows."""
    steps = await Steps.prepare(fake, connect)
    found = await steps.ca.deactivate_authorization(steps.authorization.url)
    assert found.status is AuthorizationStatus.DEACTIVATED
    assert fake.last("authorization").payload == {"status": "deactivated"}


async def test_an_identifier_is_authorized_ahead_of_an_order(fake: FakeCa, connect: Connect) -> None:
    """R17: newAuthz, where there is one."""
    ca = await connect()
    found = await ca.new_authorization(parse_identifier("192.0.2.1"))
    assert found.url == f"{fake.base}/authz/1"
    assert fake.last("newAuthz").payload == {"identifier": {"type": "ip", "value": "192.0.2.1"}}


async def test_the_key_authorization_is_the_same_before_and_after_registration(connect: Connect) -> None:
    """R41: it hangs on the key alone."""
    ca = await connect(registered=False)
    before = ca.key_authorization(TOKEN)
    await ca.register(terms_agreed=True)
    assert ca.key_authorization(TOKEN) == before
    assert before.startswith(f"{TOKEN}.")
