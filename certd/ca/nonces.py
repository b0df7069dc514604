"""Anti-replay nonces (RFC 8555 §6.5): one for each signature, taken from earlier replies while there are any.

The newest is taken first, because servers forget the oldest. A nonce that was taken never comes back, whatever
happened to its request: every retry needs another (R12).
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable

MOST_NONCES = 64

# §6.5.1: "Replay-Nonce = 1*base64url". The length is ours: a nonce goes into each header.
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,512}", re.ASCII)


def valid_nonce(value: str | None) -> str | None:
    """The value of a Replay-Nonce header, if it is one: "clients MUST ignore invalid Replay-Nonce values" (§6.5.1)."""
    return value if value is not None and _NONCE.fullmatch(value) else None


class Nonces:
    """The pool of one conversation. `fetch` asks newNonce, and is called by one task at a time.

    Fifty tasks that begin together would otherwise ask fifty times at once; the limit of Let's Encrypt is twenty a
    second, and the replies to the first tasks bring nonces for the others.
    """

    def __init__(self, fetch: Callable[[], Awaitable[str]]) -> None:
        self._fetch = fetch
        self._pool: deque[str] = deque(maxlen=MOST_NONCES)
        self._asking = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._pool)

    def put(self, nonce: str) -> None:
        """Keep a valid nonce for a later request."""
        self._pool.append(nonce)

    async def take(self) -> str:
        """The newest nonce, or a new one. Raises CaError."""
        if self._pool:
            return self._pool.pop()
        async with self._asking:
            if self._pool:
                return self._pool.pop()
            return await self._fetch()
