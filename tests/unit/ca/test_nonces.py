"""Anti-replay nonces (RFC 8555 §6.5): fresh for each signature, and a refusal is answered with its own nonce."""

import asyncio
import random

import pytest

from certd.ca.kinds import MOST_REQUESTS
from certd.ca.nonces import MOST_NONCES, Nonces, valid_nonce
from certd.ca.unreachable import NoncesRefused
from certd.model.acme import NewOrder
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable
from certd.model.identifiers import parse_identifiers
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import after, lost, problem, reply
from tests.unit.ca.steps import Steps

ONE = NewOrder(parse_identifiers(["example.org"]))
SIGNED = ["newAccount", "account", "keyChange", "newOrder", "order", "authorization", "challenge", "finalize"]
SIGNED += ["certificate", "revokeCert"]


@pytest.mark.parametrize(
    "value", ["a b", "", "a\r\nX: y", "x" * 65536, "abc=", "a+b", "a/b", "ä", None], ids=lambda v: repr(v)[:8]
)
def test_invalid_nonces_are_ignored(value: str | None) -> None:
    """R13: "Clients MUST ignore invalid Replay-Nonce values"."""
    assert valid_nonce(value) is None


async def test_the_newest_nonce_is_taken_first_and_the_oldest_are_dropped() -> None:
    """CA12: servers forget the oldest nonces, so those are the ones to do without."""

    async def never() -> str:
        raise AssertionError("newNonce was asked while there were nonces")

    nonces = Nonces(never)
    for number in range(MOST_NONCES + 10):
        nonces.put(str(number))
    assert len(nonces) == MOST_NONCES
    assert [await nonces.take() for _ in range(2)] == [str(MOST_NONCES + 9), str(MOST_NONCES + 8)]


async def test_tasks_that_begin_together_do_not_all_ask_for_nonces(fake: FakeCa, connect: Connect) -> None:
    """CA13: newNonce has the smallest limit of all; replies bring nonces for those who wait. None is used twice."""
    ca = await connect()
    orders = [await ca.new_order(ONE) for _ in range(64)]
    await asyncio.gather(*(ca.fetch_order(order.url) for order in orders))
    assert fake.count("newNonce") < 64
    nonces = [request.protected["nonce"] for request in fake.received if request.protected]
    assert len(nonces) == len(set(nonces)) == 129


async def test_no_nonce_is_asked_for_while_replies_bring_them(fake: FakeCa, connect: Connect) -> None:
    """R11: one newNonce for a whole conversation."""
    ca = await connect()
    order = await ca.new_order(ONE)
    for url in order.authorizations:
        await ca.answer((await ca.fetch_authorization(url)).challenges[0])
    await ca.fetch_order(order.url)
    assert fake.count("newNonce") == 1


async def test_meeting_the_ca_costs_no_request_and_brings_its_time(fake: FakeCa, connect: Connect) -> None:
    """The nonce is kept for the request that follows, which would have asked for one anyway."""
    ca = await connect(registered=False)
    assert (ca.clock_skew, fake.count("newNonce")) == (None, 0)
    await ca.meet()
    await ca.meet()
    assert ca.clock_skew is not None
    await ca.register(terms_agreed=True)
    assert fake.count("newNonce") == 1


@pytest.mark.parametrize("times", [1, 5, MOST_REQUESTS - 1])
async def test_a_refused_nonce_is_answered_with_the_nonce_of_that_reply(
    fake: FakeCa, connect: Connect, times: int
) -> None:
    """R11: "the client MUST use the nonce in the error response", each time with a new signature."""
    ca = await connect()
    sent = [f"fresh-{number}" for number in range(times)]
    fake.nonces.update(sent)
    fake.next("newOrder", *(problem("badNonce", nonce=nonce) for nonce in sent))
    await ca.new_order(ONE)
    tries = [request for request in fake.received if request.kind == "newOrder"]
    assert [request.protected["nonce"] for request in tries[1:] if request.protected] == sent
    assert len({request.body for request in tries}) == times + 1


async def test_nonces_refused_for_ever_end_after_ten_requests(fake: FakeCa, connect: Connect) -> None:
    """CA10: 100 % badNonce is an outage, whose words the caller sees; nothing is refused, so no order ends by it."""
    ca = await connect()
    fake.bad_nonce_share = lambda: True
    before = len(fake.received)
    with pytest.raises(CaUnreachable, match=r"newOrder: the CA refused each nonce.*anti-replay") as caught:
        await ca.new_order(ONE)
    assert isinstance(caught.value, NoncesRefused)
    assert caught.value.problem.kind == "badNonce"
    assert "load balancer" in caught.value.hint
    assert len(fake.received) - before == MOST_REQUESTS


@pytest.mark.parametrize("kind", SIGNED)
async def test_a_step_whose_nonces_were_all_refused_can_be_made_again(
    fake: FakeCa, connect: Connect, kind: str
) -> None:
    """CA10: the CA did nothing, so that the same step has its whole effect, once, when it is made later."""
    steps = await Steps.prepare(fake, connect)
    fake.bad_nonce_share = lambda: True
    with pytest.raises(NoncesRefused):
        await steps.run(kind)
    fake.bad_nonce_share = lambda: False
    before = len(fake.received)
    await steps.run(kind)
    assert [request.kind for request in fake.received[before:] if request.kind != "newNonce"][:1] == [kind]


async def test_the_nonce_of_the_last_refusal_is_the_next_steps(fake: FakeCa, connect: Connect) -> None:
    """R11: it was not used; newNonce need not be asked."""
    ca = await connect()
    refusals = iter([True] * MOST_REQUESTS)
    fake.bad_nonce_share = lambda: next(refusals, False)
    with pytest.raises(NoncesRefused):
        await ca.new_order(ONE)
    before = len(fake.received)
    await ca.new_order(ONE)
    assert [request.kind for request in fake.received[before:]] == ["newOrder"]


async def test_a_refusal_without_a_nonce_has_one_asked_for(fake: FakeCa, connect: Connect) -> None:
    """CA11: badNonce without Replay-Nonce; still within ten requests when it never ends."""
    ca = await connect()
    fake.next("newOrder", problem("badNonce"))
    await ca.new_order(ONE)
    assert (fake.count("newOrder"), fake.count("newNonce")) == (2, 2)
    before = len(fake.received)
    fake.always("newOrder", problem("badNonce"))
    with pytest.raises(NoncesRefused):
        await ca.new_order(ONE)
    assert len(fake.received) - before <= MOST_REQUESTS


@pytest.mark.parametrize(("share", "steps", "failing"), [(0.05, 200, 0), (0.5, 1000, 1), (0.9, 100, 27)])
async def test_steps_succeed_at_every_share_of_refused_nonces(
    fake: FakeCa, connect: Connect, share: float, steps: int, failing: int
) -> None:
    """CA10: at half of them refused 1 - 2**-10 of the steps, more than 99.9 %; at nine of ten about two thirds.

    The chance is seeded, and one task alone asks, so that it is the same steps that fail each time.
    """
    ca = await connect()
    order = await ca.new_order(ONE)
    chance = random.Random(11)
    fake.bad_nonce_share = lambda: chance.random() < share
    failed = 0
    for _ in range(steps):
        before = len(fake.received)
        try:
            await ca.fetch_order(order.url)
        except NoncesRefused:
            failed += 1
            assert len(fake.received) - before == MOST_REQUESTS
    assert failed == failing


async def test_a_repeat_after_a_lost_connection_has_a_new_nonce_and_signature(fake: FakeCa, connect: Connect) -> None:
    """R12: the old nonce may have been used up, so a repeat with it would be refused (the fake watches for reuse)."""
    ca = await connect()
    order = await ca.new_order(ONE)
    fake.next("order", lost(handled=True), lost())
    assert (await ca.fetch_order(order.url)).url == order.url
    tries = [request for request in fake.received if request.kind == "order"]
    assert len({request.body for request in tries}) == len(tries) == 3


async def test_after_an_error_the_next_request_has_a_nonce_of_its_own(fake: FakeCa, connect: Connect) -> None:
    """R12: 429 and 5xx use a nonce up as well; nothing is sent again by itself."""
    ca = await connect()
    for fault in (problem("rateLimited", 429), reply(503), problem("serverInternal", 500)):
        fake.next("newOrder", fault)
        before = fake.count("newOrder")
        with pytest.raises(CaRefused):
            await ca.new_order(ONE)
        assert fake.count("newOrder") == before + 1
        await ca.new_order(ONE)


async def test_a_reply_with_an_unfit_nonce_leaves_the_pool_empty(fake: FakeCa, connect: Connect) -> None:
    """R13: what cannot be a nonce is not sent back; newNonce is asked instead."""
    ca = await connect()
    fake.next("newOrder", after(Replay_Nonce="a b"))
    await ca.new_order(ONE)
    await ca.new_order(ONE)
    assert fake.count("newNonce") == 2


@pytest.mark.parametrize("status", [200, 204])
async def test_newnonce_may_answer_200_or_204(fake: FakeCa, connect: Connect, status: int) -> None:
    """R23: HEAD has 200, GET has 204; some servers mix them up."""
    fake.nonces.add("abc")
    fake.next("newNonce", reply(status, Replay_Nonce="abc"))
    await connect()


async def test_newnonce_is_asked_by_get_where_head_is_not_allowed(fake: FakeCa, connect: Connect) -> None:
    """R23: §7.2 has both."""
    fake.next("newNonce", reply(405))
    await connect()
    assert [request.method for request in fake.received if request.kind == "newNonce"] == ["HEAD", "GET"]


async def test_newnonce_without_a_nonce_is_an_error_that_says_so(fake: FakeCa, connect: Connect) -> None:
    """R13: and never a signature without a nonce."""
    fake.always("newNonce", reply(200))
    with pytest.raises(CaProtocolError, match="Replay-Nonce"):
        await connect()


async def test_a_refused_newnonce_is_the_error_of_the_request(fake: FakeCa, connect: Connect) -> None:
    """CA13: Let's Encrypt limits newNonce to 20 a second and answers 503."""
    fake.always("newNonce", reply(503, Retry_After="5"))
    with pytest.raises(CaRefused) as caught:
        await connect()
    assert caught.value.problem.status == 503
    assert caught.value.problem.retry_after is not None
