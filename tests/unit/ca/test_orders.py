"""Orders: what is asked for, how they may change, and what a CA may not do with them (RFC 8555 §7.1.3, §7.4)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from certd.ca.lifecycle import AUTHORIZATION, CHALLENGE, MOST_REMEMBERED, ORDER, Seen, check_transition
from certd.ca.order import Trace, same_order
from certd.ca.quirks import quirks_of
from certd.model.acme import CertId, NewOrder, Order, OrderStatus, OrderUrl
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable, ConfigError
from certd.model.identifiers import parse_identifiers
from certd.model.problems import Problem, Reaction
from tests.fakes.signing import FakeKey
from tests.unit.ca import jose
from tests.unit.ca.conftest import Connect
from tests.unit.ca.csr import make_csr
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import after, changed, lost, problem
from tests.unit.ca.steps import Steps, ready_order

NAMES = parse_identifiers(["example.org", "*.example.org", "192.0.2.7", "2001:db8::1", "münchen.example"])
ALL = NewOrder(NAMES)
ONE = NewOrder(parse_identifiers(["example.org"]))
CERT = CertId("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
URL = OrderUrl("https://ca.example/order/1")
KNOWN = Order(
    url=URL,
    status=OrderStatus.PENDING,
    identifiers=frozenset(NAMES),
    authorizations=("https://ca.example/authz/1", "https://ca.example/authz/2"),
    finalize="https://ca.example/finalize/1",
)


async def test_an_order_names_exactly_what_is_wanted(fake: FakeCa, connect: Connect) -> None:
    """R31: DNS names, wildcards and addresses in one order; no other field unless it was asked for."""
    ca = await connect()
    order = await ca.new_order(ALL)
    assert order.identifiers == frozenset(NAMES)
    assert fake.last("newOrder").payload == {
        "identifiers": [
            {"type": "dns", "value": "example.org"},
            {"type": "dns", "value": "*.example.org"},
            {"type": "ip", "value": "192.0.2.7"},
            {"type": "ip", "value": "2001:db8::1"},
            {"type": "dns", "value": "xn--mnchen-3ya.example"},
        ]
    }
    assert order.expires == datetime(2026, 12, 1, 0, 0, 0, 123456, tzinfo=UTC)


async def test_the_csr_goes_out_as_base64url_der(fake: FakeCa, connect: Connect) -> None:
    """R31, R4: the very octets, without padding."""
    ca = await connect()
    order = await ready_order(ca)
    csr = make_csr(["example.org"])
    await ca.finalize(order, csr)
    payload = fake.last("finalize").payload
    assert set(payload) == {"csr"}
    assert jose.decode(payload["csr"]) == csr
    assert x509.load_der_x509_csr(jose.decode(payload["csr"])).is_signature_valid


async def test_a_whole_issuance_takes_seven_requests(fake: FakeCa, connect: Connect) -> None:
    """R9, R33: newOrder, authorization, challenge, poll, finalize, poll, certificate; nothing asked twice."""
    ca = await connect()
    before = ca.requests.total()
    order = await ca.new_order(ONE)
    authorization = await ca.fetch_authorization(order.authorizations[0])
    await ca.answer(authorization.challenges[0])
    order = await ca.fetch_order(order.url)
    order = await ca.finalize(order, make_csr(["example.org"]))
    assert (order.status, order.certificate) == (OrderStatus.PROCESSING, "")
    assert order.retry_after is not None
    order = await ca.fetch_order(order.url)
    chains = await ca.download(order)
    assert ca.requests.total() - before == 7
    assert len(chains.default.certificates) == 2


async def test_an_order_that_is_ready_or_valid_at_once_needs_no_challenge(fake: FakeCa, connect: Connect) -> None:
    """R21, CA22: a reused order or reused authorizations; the status says so."""
    ca = await connect()
    for status in ("ready", "valid", "processing"):
        fake.next("newOrder", changed(lambda order, status=status: order.update(status=status)))  # type: ignore[misc]
        assert (await ca.new_order(ONE)).status.value == status


async def test_the_same_pending_order_may_come_twice(fake: FakeCa, connect: Connect) -> None:
    """R21, CA25: Boulder hands out a pending order again."""
    fake.state.reuses_orders = True
    ca = await connect()
    first = await ca.new_order(ALL)
    again = await ca.new_order(ALL)
    assert again == first
    assert len(fake.state.orders) == 1


async def test_authorizations_and_identifiers_may_come_in_any_sequence(fake: FakeCa, connect: Connect) -> None:
    """R20: §7.4 promises no sequence; the same set in another one is the same order."""
    ca = await connect()
    order = await ca.new_order(ALL)
    fake.next("order", changed(lambda d: (d["identifiers"].reverse(), d["authorizations"].reverse())))
    assert (await ca.fetch_order(order.url)).identifiers == order.identifiers


MUTATIONS: dict[str, Any] = {
    "an identifier more": lambda d: d["identifiers"].append({"type": "dns", "value": "evil.test"}),
    "an identifier less": lambda d: d["identifiers"].pop(),
    "somebody else's identifiers": lambda d: d.update(identifiers=[{"type": "dns", "value": "evil.test"}]),
    "another authorization": lambda d: d["authorizations"].append(d["authorizations"][0] + "1"),
    "an authorization less": lambda d: d["authorizations"].pop(),
    "another finalize URL": lambda d: d.update(finalize=d["finalize"] + "1"),
}


@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS)
async def test_an_order_that_changes_its_contents_is_invalid(fake: FakeCa, connect: Connect, change: Any) -> None:
    """R19, CA23: "the client SHOULD consider the order invalid"."""
    ca = await connect()
    order = await ca.new_order(ALL)
    fake.next("order", changed(change))
    with pytest.raises(CaProtocolError, match="the CA changed its"):
        await ca.fetch_order(order.url)


@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS)
async def test_the_reply_to_finalize_is_held_to_the_same(fake: FakeCa, connect: Connect, change: Any) -> None:
    """R19: also in a new process that has not seen the order, whose caller has it from the ledger."""
    key = FakeKey.make()
    first = await connect(key=key)
    order = await ready_order(first, ALL)
    second = await connect(key=key)
    fake.next("finalize", changed(change))
    with pytest.raises(CaProtocolError, match="the CA changed its"):
        await second.finalize(order, make_csr(["example.org"]))


def test_a_later_reply_may_leave_out_what_is_no_longer_needed() -> None:
    """CA22: some servers send neither authorizations nor finalize with a valid order."""
    same_order(Trace.of(KNOWN), replace(KNOWN, status=OrderStatus.VALID, authorizations=(), finalize=""))


LEGAL = {
    "pending": {"ready", "processing", "valid", "invalid"},
    "ready": {"processing", "valid", "invalid"},
    "processing": {"valid", "invalid"},
    "valid": set(),
    "invalid": set(),
}


@pytest.mark.parametrize("before", OrderStatus)
@pytest.mark.parametrize("later", OrderStatus)
def test_an_order_goes_forward_only(before: OrderStatus, later: OrderStatus) -> None:
    """R22: §7.1.6, with the jumps that polling sees; an unknown word is never illegal."""
    legal = before is later or OrderStatus.UNKNOWN in {before, later} or later.value in LEGAL[before.value]
    if legal:
        same_order(Trace.of(replace(KNOWN, status=before)), replace(KNOWN, status=later))
    else:
        with pytest.raises(CaProtocolError, match=f"from {before.value} to {later.value}"):
            same_order(Trace.of(replace(KNOWN, status=before)), replace(KNOWN, status=later))


@pytest.mark.parametrize("table", [ORDER, AUTHORIZATION, CHALLENGE], ids=["order", "authorization", "challenge"])
def test_each_table_knows_each_status_and_no_way_back(table: Any) -> None:
    """R22: whatever may follow A may not be followed by A."""
    kinds: Any = type(next(iter(table)))
    statuses = {status for status in kinds if status.value != "unknown"}
    assert set(table) == statuses
    for before, later in table.items():
        for status in later:
            assert before not in table[status]
            with pytest.raises(CaProtocolError):
                check_transition(table, status, before, "x")


async def test_an_order_that_goes_back_is_not_followed(fake: FakeCa, connect: Connect) -> None:
    """R22, CA22: valid, then pending again."""
    steps = await Steps.prepare(fake, connect)
    fake.next("order", changed(lambda d: d.update(status="pending")))
    with pytest.raises(CaProtocolError, match="from valid to pending"):
        await steps.ca.fetch_order(steps.valid.url)
    assert (await steps.ca.fetch_order(steps.valid.url)).status is OrderStatus.VALID


def test_what_was_seen_is_forgotten_oldest_first() -> None:
    """A daemon's memory does not grow with its orders."""
    seen: Seen[int] = Seen()
    for number in range(MOST_REMEMBERED + 5):
        seen.note(str(number), number)
    assert seen.last("4") is None
    assert seen.last("5") == 5


async def test_a_status_of_the_future_is_unknown_and_polled_on(fake: FakeCa, connect: Connect) -> None:
    """R22: STAR and whatever comes; never acted on."""
    ca = await connect()
    order = await ca.new_order(ONE)
    fake.next("order", changed(lambda d: d.update(status="x-queued")))
    assert (await ca.fetch_order(order.url)).status is OrderStatus.UNKNOWN


async def test_an_invalid_order_shows_its_error(fake: FakeCa, connect: Connect) -> None:
    """R22: invalid between two polls."""
    ca = await connect()
    order = await ca.new_order(ONE)
    error = {"type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids", "status": 403}
    fake.next("order", changed(lambda d: d.update(status="invalid", error=error)))
    found = await ca.fetch_order(order.url)
    assert (found.status, found.error) == (
        OrderStatus.INVALID,
        Problem(type="urn:ietf:params:acme:error:caa", detail="CAA forbids", status=403),
    )


async def test_a_bad_csr_leaves_the_order_ready(fake: FakeCa, connect: Connect) -> None:
    """R32: an amended CSR may follow, to the same order."""
    ca = await connect()
    order = await ready_order(ca)
    fake.next("finalize", problem("badCSR", 400))
    with pytest.raises(CaRefused) as caught:
        await ca.finalize(order, make_csr(["example.org"]))
    assert caught.value.problem.reaction is Reaction.NEW_KEY
    assert (await ca.finalize(order, make_csr(["example.org"]))).status is OrderStatus.PROCESSING
    assert fake.count("newOrder") == 1


async def test_an_order_that_is_not_ready_is_polled(fake: FakeCa, connect: Connect) -> None:
    """R32: orderNotReady."""
    ca = await connect()
    order = await ca.new_order(ONE)
    with pytest.raises(CaRefused) as caught:
        await ca.finalize(order, make_csr(["example.org"]))
    assert caught.value.problem.reaction is Reaction.POLL


async def test_finalize_is_never_sent_twice_by_itself(fake: FakeCa, connect: Connect) -> None:
    """R33: a lost reply to finalize is found out by asking for the order."""
    ca = await connect()
    order = await ready_order(ca)
    fake.next("finalize", lost(handled=True))
    with pytest.raises(CaUnreachable):
        await ca.finalize(order, make_csr(["example.org"]))
    assert fake.count("finalize") == 1
    assert (await ca.fetch_order(order.url)).status in {OrderStatus.PROCESSING, OrderStatus.VALID}


async def test_hours_of_processing_are_polled_by_the_cas_moment(fake: FakeCa, connect: Connect) -> None:
    """R33, CA24: processing for a day; each poll brings the next moment, and no certificate is made up."""
    fake.state.polls_of_processing = 10
    ca = await connect()
    order = await ca.finalize(await ready_order(ca), make_csr(["example.org"]))
    for _ in range(8):
        fake.next("order", after(Retry_After="3600"))
        order = await ca.fetch_order(order.url)
        assert order.status is OrderStatus.PROCESSING
        assert order.retry_after is not None
    with pytest.raises(CaProtocolError, match="no certificate URL"):
        await ca.download(order)


async def test_an_order_without_finalize_cannot_be_finalized(fake: FakeCa, connect: Connect) -> None:
    """CA24: required while it is needed."""
    ca = await connect()
    fake.next("newOrder", changed(lambda d: d.pop("finalize")))
    with pytest.raises(CaProtocolError, match="'finalize' is missing"):
        await ca.new_order(ONE)
    with pytest.raises(CaProtocolError, match="no finalize URL"):
        await ca.finalize(replace(KNOWN, finalize=""), b"")


@pytest.mark.parametrize("identifiers", [[], None, [{"type": "x-new", "value": "?"}], ["example.org"]])
async def test_an_order_without_identifiers_is_none(fake: FakeCa, connect: Connect, identifiers: Any) -> None:
    ca = await connect()
    fake.next("newOrder", changed(lambda d: d.update(identifiers=identifiers)))
    with pytest.raises(CaProtocolError, match="identifiers"):
        await ca.new_order(ONE)


# Profiles, validity, replaces


async def test_a_profile_is_sent_and_echoed(fake: FakeCa, connect: Connect) -> None:
    """A1.5."""
    ca = await connect()
    order = await ca.new_order(replace(ONE, profile="shortlived"))
    assert fake.last("newOrder").payload["profile"] == order.profile == "shortlived"


async def test_validity_dates_are_rfc_3339(fake: FakeCa, connect: Connect) -> None:
    """R31."""
    ca = await connect()
    await ca.new_order(
        replace(ONE, not_before=datetime(2026, 12, 1, tzinfo=UTC), not_after=datetime(2027, 1, 1, tzinfo=UTC))
    )
    payload = fake.last("newOrder").payload
    assert (payload["notBefore"], payload["notAfter"]) == ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")


def test_lets_encrypt_takes_no_validity_dates_and_four_reasons() -> None:
    """R31, R39: one table by the issuer's kind, found by its host."""
    for host in ("acme-v02.api.letsencrypt.org", "acme-staging-v02.api.letsencrypt.org", "letsencrypt.org"):
        assert not quirks_of(host).takes_validity
        assert {reason.value for reason in quirks_of(host).reasons} == {0, 1, 4, 5}
    for host in ("ca.example", "letsencrypt.org.evil.test", "notletsencrypt.org", "[2001:db8::1]"):
        assert quirks_of(host).takes_validity


async def test_what_a_ca_is_known_to_refuse_is_not_sent(fake: FakeCa, connect: Connect) -> None:
    """R31: a mistake of the configuration, told before a request."""
    ca = await connect()
    ca._quirks = quirks_of("letsencrypt.org")
    with pytest.raises(ConfigError, match="dates of validity"):
        await ca.new_order(replace(ONE, not_after=datetime(2027, 1, 1, tzinfo=UTC)))
    assert fake.count("newOrder") == 0


async def test_replaces_is_sent_to_a_ca_with_renewal_information_only(fake: FakeCa, connect: Connect) -> None:
    """A1.3: it is RFC 9773's field."""
    ca = await connect()
    await ca.new_order(replace(ONE, replaces=CERT))
    assert fake.last("newOrder").payload["replaces"] == CERT
    fake.state.without = {"renewalInfo"}
    old = await connect()
    await old.new_order(replace(ONE, replaces=CERT))
    assert "replaces" not in fake.last("newOrder").payload


REJECTED_REPLACES = {
    "alreadyReplaced": problem("alreadyReplaced", 409),
    "conflict": problem("conflict", 409),
    "409 without a type": problem("x", 409, more={"type": "about:blank"}),
    "malformed, foreign AKI": problem("malformed", 404, more={"detail": "path component of replaces: not found"}),
    "malformed, no shared name": problem(
        "malformed", 400, more={"detail": "certificate being replaced shares no name"}
    ),
    "unauthorized, other account": problem(
        "unauthorized", 403, more={"detail": "requester account did not request the certificate being replaced"}
    ),
    "not found": problem("notFound", 404, more={"detail": "cannot find the certificate to replace"}),
}


@pytest.mark.parametrize("fault", REJECTED_REPLACES.values(), ids=REJECTED_REPLACES)
async def test_a_rejection_that_concerns_replaces_is_retried_once_without(
    fake: FakeCa, connect: Connect, fault: Any
) -> None:
    """CA32, I24, I25: 409, 404, 400, 403; the order is placed all the same."""
    ca = await connect()
    fake.next("newOrder", fault)
    await ca.new_order(replace(ONE, replaces=CERT))
    assert fake.count("newOrder") == 2
    assert "replaces" not in fake.last("newOrder").payload


@pytest.mark.parametrize("kind", ["rateLimited", "malformed", "unauthorized", "rejectedIdentifier", "serverInternal"])
async def test_other_rejections_are_what_they_are(fake: FakeCa, connect: Connect, kind: str) -> None:
    """CA33: no second order for an error that has nothing to do with it."""
    ca = await connect()
    fake.next("newOrder", problem(kind, 403))
    with pytest.raises(CaRefused) as caught:
        await ca.new_order(replace(ONE, replaces=CERT))
    assert caught.value.problem.kind == kind
    assert fake.count("newOrder") == 1


async def test_a_second_rejection_is_the_last(fake: FakeCa, connect: Connect) -> None:
    """CA32: alreadyReplaced for ever makes no loop."""
    ca = await connect()
    fake.always("newOrder", problem("alreadyReplaced", 409))
    for replaces in (CERT, None):
        with pytest.raises(CaRefused):
            await ca.new_order(replace(ONE, replaces=replaces))
    assert fake.count("newOrder") == 3
