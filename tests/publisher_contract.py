"""What every way to answer challenges must do (`certd.issue.ports.Publisher`); each one's tests inherit it.

A subclass has a fixture `subject`: the publisher, its journal, and a look at the world as a CA has it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from certd.issue.ports import Publisher
from certd.ledger.ledger import Ledger
from certd.model.acme import ChallengeType
from certd.model.errors import CertdError
from certd.model.identifiers import parse_identifiers
from certd.model.proofs import Proof, ProofId, ProofRecord, ProofState
from certd.model.steps import Step
from tests.fakes.clock import START

THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
STEPS = {ProofState.JOURNALLED: Step.PROOFS_JOURNALLED, ProofState.WITHDRAWN: Step.WITHDRAWAL_STORED}
CANCELLED_AFTER = (0, 1, 2, 4, 8, 16, 64)  # turns of the event loop
NAMES = ("a.test", "b.test", "c.test", "d.test", "e.test")


def token(number: int) -> str:
    """base64url begins with `-` or `_` in one case of 32."""
    return f"{'-_aZ09'[number % 6]}{'Aa0_-' * 8}{number:03}"


@dataclass(frozen=True)
class Subject:
    """*shows*: what a validator sees, asked once. *others*: what in the world is not ours. *spoil*: make it fail."""

    publisher: Publisher
    type: ChallengeType
    ledger: Ledger
    order_id: str  # of an order in the ledger
    reopen: Callable[[str, str], Publisher]
    shows: Callable[[Proof], Awaitable[bool]]
    others: Callable[[], Awaitable[object]]
    spoil: Callable[[], Awaitable[None]] | None
    sees_the_ca: bool  # whether a question can be noticed
    checks: bool  # whether it knows by itself that a proof is not to be seen
    names: Sequence[str] = NAMES
    made: dict[Proof, ProofRecord] = field(default_factory=dict)

    async def proofs(self, count: int = 1) -> list[Proof]:
        """Proofs for so many authorizations."""
        identifiers = parse_identifiers(self.names)
        return [
            await self.publisher.prove(identifiers[n % len(identifiers)], f"{token(n)}.{THUMBPRINT}")
            for n in range(count)
        ]

    async def record(self, proofs: Sequence[Proof], state: ProofState) -> None:
        """Commit their rows, as the workflow does before it publishes and after it has withdrawn."""
        for number, proof in enumerate(proofs, start=len(self.made)):
            self.made.setdefault(proof, self._row(number, proof))
        rows = [replace(self.made[proof], state=state) for proof in proofs]
        await self.ledger.commit(None, STEPS[state], *rows)

    async def publish(self, proofs: Sequence[Proof]) -> None:
        await self.record(proofs, ProofState.JOURNALLED)
        await self.publisher.publish(proofs)
        await self.publisher.wait_until_visible(proofs)

    async def withdraw(self, proofs: Sequence[Proof], publisher: Publisher | None = None) -> None:
        await (publisher or self.publisher).withdraw(proofs)
        await self.record(proofs, ProofState.WITHDRAWN)

    async def shown(self, proofs: Sequence[Proof]) -> list[bool]:
        return [await self.shows(proof) for proof in proofs]

    def _row(self, number: int, proof: Proof) -> ProofRecord:
        return ProofRecord(
            id=ProofId(f"proof-{number}"),
            order_id=self.order_id,
            authorization_url=f"https://ca.test/authz/{number}",
            proof=proof,
            method=self.publisher.method,
            options=self.publisher.options,
            state=ProofState.JOURNALLED,
            created_at=START,
        )


class PublisherContract:
    """Inherit it in a class `Test…`."""

    async def test_its_words_find_it_again_in_another_process(self, subject: Subject) -> None:
        """Invariant 5: whoever reads the journal after a crash withdraws with nothing but these."""
        words = subject.publisher.method, subject.publisher.options
        assert isinstance(json.loads(words[1]), dict)
        again = subject.reopen(*words)
        assert (again.method, again.options, again.is_the_journal) == (*words, subject.publisher.is_the_journal)

    async def test_a_proof_is_computed_and_nothing_is_published(self, subject: Subject) -> None:
        before = await subject.others()
        proofs = await subject.proofs(3)
        assert proofs == await subject.proofs(3)
        assert {proof.type for proof in proofs} == {subject.type}
        assert [proof.identifier for proof in proofs] == list(parse_identifiers(subject.names[:3]))
        assert await subject.shown(proofs) == [False] * 3
        assert await subject.others() == before

    async def test_what_was_published_is_shown(self, subject: Subject) -> None:
        proofs = await subject.proofs(3)
        await subject.publish(proofs)
        assert await subject.shown(proofs) == [True] * 3

    async def test_an_order_of_a_hundred_proofs_is_published_at_once(self, subject: Subject) -> None:
        wide = replace(subject, names=[f"n{number}.test" for number in range(100)])
        proofs = await wide.proofs(100)
        await wide.publish(proofs)
        assert await wide.shown(proofs) == [True] * 100

    async def test_publishing_again_is_fine(self, subject: Subject) -> None:
        """After a crash nobody knows how far the last process came."""
        first, second, third = await subject.proofs(3)
        await subject.publish([first, second])
        await subject.publish([second, third])
        assert await subject.shown([first, second, third]) == [True] * 3

    async def test_another_process_withdraws_what_this_one_published(self, subject: Subject) -> None:
        proofs = await subject.proofs(3)
        await subject.publish(proofs)
        await subject.withdraw(proofs, subject.reopen(subject.publisher.method, subject.publisher.options))
        await self.check_gone(subject, proofs)

    async def test_withdrawing_some_leaves_the_others(self, subject: Subject) -> None:
        first, second, third = await subject.proofs(3)
        await subject.publish([first, second, third])
        await subject.withdraw([second])
        await self.check_gone(subject, [second])
        assert await subject.shown([first, third]) == [True, True]

    async def test_withdrawing_again_or_what_never_was_is_fine(self, subject: Subject) -> None:
        """The journal is written first, so that it may hold more than the world ever did."""
        proofs = await subject.proofs(3)
        await subject.publisher.withdraw(proofs)
        await subject.publish(proofs[:1])
        for _ in range(2):
            await subject.withdraw(proofs[:1])
        await self.check_gone(subject, proofs[:1])

    async def test_what_is_not_ours_stays_as_it_is(self, subject: Subject) -> None:
        before = await subject.others()
        proofs = await subject.proofs(3)
        await subject.publish(proofs)
        assert await subject.others() == before
        await subject.withdraw(proofs)
        assert await subject.others() == before

    async def test_what_cannot_be_seen_is_said_before_the_ca_looks(self, subject: Subject) -> None:
        """R42: an answer to the CA spends one of five tries an hour."""
        proofs = await subject.proofs(2)
        if subject.checks:
            with pytest.raises(CertdError, match=r"a\.test"):
                await subject.publisher.wait_until_visible(proofs)
        else:  # only the CA can tell
            await subject.publisher.wait_until_visible(proofs)

    async def test_the_cas_question_is_noticed(self, subject: Subject) -> None:
        """R37: no poll before it, where it can be seen; at once where it cannot."""
        proofs = await subject.proofs(2)
        await subject.publish(proofs)
        waiting = asyncio.create_task(subject.publisher.wait_until_asked(proofs))
        if subject.sees_the_ca:
            assert await subject.shown(proofs[:1]) == [True]
            await asyncio.sleep(0)
            assert not waiting.done()
            assert await subject.shown(proofs[1:]) == [True]
        await waiting

    async def test_a_question_that_comes_early_is_noticed_too(self, subject: Subject) -> None:
        """A CA may look before its reply to the answer is here."""
        proofs = await subject.proofs(2)
        await subject.publish(proofs)
        assert await subject.shown(proofs) == [True, True]
        await subject.publisher.wait_until_asked(proofs)

    async def test_trouble_is_an_error_of_ours(self, subject: Subject) -> None:
        """Never a traceback: it is told, and the journal goes on (invariant 5)."""
        proofs = await subject.proofs(1)
        await subject.publish(proofs)
        if subject.spoil is None:  # nothing of the world is needed
            return
        await subject.spoil()
        for act in (subject.publisher.publish, subject.publisher.withdraw):
            with pytest.raises(CertdError):
                await act(proofs)

    @pytest.mark.parametrize("turns", CANCELLED_AFTER)
    async def test_cancelled_anywhere_it_can_be_done_again(self, subject: Subject, turns: int) -> None:
        proofs = await subject.proofs(5)
        await subject.record(proofs, ProofState.JOURNALLED)
        await _cancelled(subject.publisher.publish, proofs, turns)
        await subject.publish(proofs)
        assert await subject.shown(proofs) == [True] * 5
        await _cancelled(subject.publisher.withdraw, proofs, turns)
        await subject.withdraw(proofs)
        await self.check_gone(subject, proofs)

    async def test_its_answers_linger_for_a_while_at_most(self, subject: Subject) -> None:
        """Invariant 5: a minute, and only where the next order does not need the place."""
        assert timedelta(0) <= subject.publisher.lingers <= timedelta(minutes=1)

    async def check_gone(self, subject: Subject, proofs: Sequence[Proof]) -> None:
        """A listener's answers are the journal's rows; they stay while the process lives (invariant 5)."""
        assert await subject.shown(proofs) == [subject.publisher.is_the_journal] * len(proofs)


async def _cancelled(
    act: Callable[[Sequence[Proof]], Coroutine[None, None, None]], proofs: Sequence[Proof], turns: int
) -> None:
    task = asyncio.create_task(act(proofs))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
