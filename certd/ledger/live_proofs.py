"""The proof rows as the listeners see them: a mirror in memory of what is committed; an answer never waits for a disk.

A withdrawn proof stays answerable while this process lives: CAs look again from other places, some seconds after the
first success (invariant 5).
"""

import asyncio
from collections.abc import Iterable

from certd.model.acme import ChallengeType
from certd.model.proofs import Proof, ProofRecord, ProofState

MOST_WITHDRAWN = 10_000


class LiveProofs:
    """A `ProofLookup`, and the place where the workflow waits until the CA was seen asking (RFC 8555 §7.5.1)."""

    def __init__(self) -> None:
        self._answers: dict[tuple[ChallengeType, str], Proof] = {}
        self._withdrawn: dict[tuple[ChallengeType, str], None] = {}  # keys of `_answers`, the oldest first
        self._seen: dict[Proof, asyncio.Event] = {}

    def see(self, records: Iterable[ProofRecord]) -> None:
        """Take over rows that have just been committed."""
        for record in records:
            if record.proof.type is ChallengeType.DNS_01:
                continue
            if record.state is ProofState.WITHDRAWN:
                self._retire(record.proof)
            else:
                self._answer(record.proof)

    def http_01(self, token: str) -> Proof | None:
        return self._answers.get((ChallengeType.HTTP_01, token))

    def tls_alpn_01(self, server_name: str) -> Proof | None:
        return self._answers.get((ChallengeType.TLS_ALPN_01, server_name.lower()))

    def asked(self, proof: Proof) -> None:
        if event := self._seen.get(proof):
            event.set()

    async def wait_until_asked(self, proofs: Iterable[Proof]) -> None:
        """Return when somebody has asked for every one; perhaps never, so bound it."""
        for proof in proofs:
            await self._seen.setdefault(proof, asyncio.Event()).wait()

    def expect(self, proofs: Iterable[Proof]) -> None:
        """Begin to notice questions for *proofs* (before the challenge is answered)."""
        for proof in proofs:
            self._seen.setdefault(proof, asyncio.Event())

    def done_with(self, proofs: Iterable[Proof]) -> None:
        for proof in proofs:
            self._seen.pop(proof, None)

    def _answer(self, proof: Proof) -> None:
        key = _key(proof)
        self._answers[key] = proof
        self._withdrawn.pop(key, None)

    def _retire(self, proof: Proof) -> None:
        key = _key(proof)
        self._seen.pop(proof, None)
        # tls-alpn-01 has one answer a name: another order's, that came later, is the one that is asked for.
        if self._answers.setdefault(key, proof) != proof:
            return
        self._withdrawn[key] = None
        if len(self._withdrawn) > MOST_WITHDRAWN:
            oldest = next(iter(self._withdrawn))
            del self._withdrawn[oldest], self._answers[oldest]


def _key(proof: Proof) -> tuple[ChallengeType, str]:
    name = proof.name.lower() if proof.type is ChallengeType.TLS_ALPN_01 else proof.name
    return proof.type, name
