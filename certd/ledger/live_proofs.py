"""The proof rows as the listeners see them: a mirror in memory of what is committed; an answer never waits for a disk.

A withdrawn proof stays answerable while this process lives: CAs look again from other places, some seconds after the
first success (invariant 5).
"""

import asyncio
from collections.abc import Iterable

from certd.model.acme import ChallengeType
from certd.model.proofs import Proof, ProofRecord

MOST_WITHDRAWN = 10_000


class LiveProofs:
    """A `ProofLookup`, and the place where the workflow waits until the CA was seen asking (RFC 8555 §7.5.1)."""

    def __init__(self) -> None:
        self._http: dict[str, Proof] = {}
        self._alpn: dict[str, Proof] = {}
        self._seen: dict[Proof, asyncio.Event] = {}

    def see(self, records: Iterable[ProofRecord]) -> None:
        """Take over rows that have just been committed."""
        for record in records:
            match record.proof.type:
                case ChallengeType.HTTP_01:
                    _remember(self._http, record.proof.name, record.proof)
                case ChallengeType.TLS_ALPN_01:
                    _remember(self._alpn, record.proof.name, record.proof)
                case ChallengeType.DNS_01:
                    pass

    def http_01(self, token: str) -> Proof | None:
        return self._http.get(token)

    def tls_alpn_01(self, server_name: str) -> Proof | None:
        return self._alpn.get(server_name.lower())

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


def _remember(known: dict[str, Proof], name: str, proof: Proof) -> None:
    known[name] = proof
    if len(known) > MOST_WITHDRAWN:
        known.pop(next(iter(known)))
