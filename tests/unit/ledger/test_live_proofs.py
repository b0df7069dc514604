"""The mirror that listeners answer from: what is journalled, as long as somebody may ask for it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from certd.ledger.live_proofs import MOST_WITHDRAWN, LiveProofs
from certd.model.acme import ChallengeType
from certd.model.proofs import Proof, ProofLookup, ProofRecord, ProofState
from tests.unit.ledger.samples import dns, proof


@pytest.fixture
def live() -> LiveProofs:
    return LiveProofs()


def alpn(value: str, name: str = "example.org", state: ProofState = ProofState.JOURNALLED) -> ProofRecord:
    return replace(proof(state=state), proof=Proof(ChallengeType.TLS_ALPN_01, dns(name), name, value))


def withdrawn(record: ProofRecord) -> ProofRecord:
    return replace(record, state=ProofState.WITHDRAWN)


def test_each_type_is_found_by_what_its_validator_asks_for(live: LiveProofs) -> None:
    lookup: ProofLookup = live
    record = proof(name="Token_A")
    live.see([record, alpn("for-alpn"), replace(proof(), proof=replace(proof().proof, type=ChallengeType.DNS_01))])
    assert lookup.http_01("Token_A") == record.proof
    assert lookup.http_01("token_a") is None, "tokens are exact (RFC 8555 §8.3)"
    assert lookup.http_01("token") is None, "dns-01 is nothing a listener answers"
    assert lookup.tls_alpn_01("EXAMPLE.org") == alpn("for-alpn").proof, "SNI has no case"
    assert lookup.tls_alpn_01("other.example") is None


def test_a_withdrawn_proof_is_answered_on(live: LiveProofs) -> None:
    """CA36: validators ask from other places, seconds after the first success."""
    live.see([proof(), alpn("a")])
    live.see([withdrawn(proof()), withdrawn(alpn("a"))])
    assert live.http_01("token") == proof().proof
    assert live.tls_alpn_01("example.org") == alpn("a").proof


@pytest.mark.parametrize("late", [ProofState.WITHDRAWN, ProofState.JOURNALLED], ids=lambda state: state.value)
def test_withdrawing_an_old_orders_proof_leaves_the_new_ones_answer(live: LiveProofs, late: ProofState) -> None:
    """One name has one answer to tls-alpn-01; a sweep beside a running validation must not take it away."""
    live.see([alpn("old")])
    live.see([alpn("new")])
    if late is ProofState.WITHDRAWN:
        live.see([alpn("old", state=ProofState.WITHDRAWN)])
        assert live.tls_alpn_01("example.org") == alpn("new").proof
    live.see([alpn("newest", state=late)])
    expected = "newest" if late is ProofState.JOURNALLED else "new"
    assert live.tls_alpn_01("example.org") == alpn(expected).proof


def test_memory_is_bounded_by_forgetting_the_withdrawn_ones_the_oldest_first(live: LiveProofs) -> None:
    """A daemon lives for years; what is open is never forgotten, however many there are."""
    still_open = [proof(name=f"open-{n}") for n in range(3)]
    many = [proof(name=f"t{n}") for n in range(MOST_WITHDRAWN + 2)]
    live.see([*still_open, *many])
    live.see([withdrawn(still_open[2]), still_open[2]])
    assert all(live.http_01(record.proof.name) for record in many)
    live.see(withdrawn(record) for record in many)
    assert [live.http_01(f"t{n}") is None for n in range(4)] == [True, True, False, False]
    assert all(live.http_01(record.proof.name) for record in (*still_open, many[-1]))


async def test_the_workflow_waits_until_every_proof_was_asked_for(live: LiveProofs) -> None:
    """R37: no poll before the validation was seen."""
    proofs = [proof(name=f"t{n}").proof for n in range(2)]
    live.expect(proofs)
    waiting = asyncio.create_task(live.wait_until_asked(proofs))
    for asked in proofs:
        await asyncio.sleep(0)
        assert not waiting.done()
        live.asked(asked)
        live.asked(asked)
    await waiting


async def test_a_question_that_came_before_the_waiting_counts(live: LiveProofs) -> None:
    live.expect([proof().proof])
    live.asked(proof().proof)
    await live.wait_until_asked([proof().proof])


@pytest.fixture
async def waiting(live: LiveProofs) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(live.wait_until_asked([proof().proof]))
    await asyncio.sleep(0)
    yield task
    task.cancel()


async def test_questions_nobody_expects_are_no_news(live: LiveProofs, waiting: asyncio.Task[None]) -> None:
    live.asked(proof(name="another").proof)
    live.done_with([proof(name="another").proof])
    await asyncio.sleep(0)
    assert not waiting.done()


async def test_what_is_over_is_forgotten(live: LiveProofs) -> None:
    """By its waiter, or by the withdrawal where the waiter ran out of patience."""
    one, two = proof(name="one"), proof(name="two")
    live.see([one, two])
    live.expect([one.proof, two.proof])
    live.done_with([one.proof])
    live.see([withdrawn(two)])
    live.asked(one.proof)
    live.asked(two.proof)
    for record in (one, two):
        late = asyncio.create_task(live.wait_until_asked([record.proof]))
        await asyncio.sleep(0)
        assert not late.done()
        late.cancel()
