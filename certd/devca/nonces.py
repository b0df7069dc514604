"""Replay nonces (RFC 8555 §6.5): each is good once, and the oldest are forgotten."""

import random

from certd.devca import base64url

KEPT = 20_000


class Nonces:
    """`refusal` is the share of good nonces that are called bad all the same, as Pebble does."""

    def __init__(self, rng: random.Random, refusal: float = 0.0) -> None:
        self._rng, self._refusal = rng, refusal
        self._open: dict[str, None] = {}

    def issue(self) -> str:
        nonce = base64url.encode(self._rng.randbytes(16))
        self._open[nonce] = None
        if len(self._open) > KEPT:
            del self._open[next(iter(self._open))]
        return nonce

    def redeem(self, nonce: str) -> bool:
        """Whether *nonce* was good; it no longer is."""
        known = nonce in self._open
        self._open.pop(nonce, None)
        return known and self._rng.random() >= self._refusal

    def forget(self) -> None:
        """Every nonce given out so far becomes stale."""
        self._open.clear()
