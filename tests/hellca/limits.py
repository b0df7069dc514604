"""Rate limits as Let's Encrypt has them: token buckets by account, identifier set or whatever else, and failures."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.hellca.seen import Seen

#: The bucket a request draws from; None: this limit is not for it.
Key = Callable[[Seen], Hashable | None]


def overall(request: Seen) -> Hashable:
    del request
    return "all"


def per_account(request: Seen) -> Hashable | None:
    return request.account


def per_identifier_set(request: Seen) -> Hashable | None:
    identifiers = (request.payload or {}).get("identifiers", [])
    return frozenset(str(each.get("value")) for each in identifiers) or None


def unless_replacing(key: Key) -> Key:
    """Renewals that say what they replace are exempt (RFC 9773 §5, and Let's Encrypt's promise)."""
    return lambda request: None if (request.payload or {}).get("replaces") else key(request)


@dataclass
class TokenBucket:
    """*capacity* requests at once, one more each *refill*."""

    capacity: int
    refill: timedelta
    key: Key = overall
    _spent: dict[Hashable, tuple[float, datetime]] = field(default_factory=dict)

    def draw(self, request: Seen) -> datetime | None:
        """None: go on. Else nothing is drawn, and this is when the next token comes."""
        key = self.key(request)
        if key is None:
            return None
        tokens, since = self._spent.get(key, (float(self.capacity), request.at))
        tokens = min(self.capacity, tokens + (request.at - since) / self.refill)
        if tokens < 1:
            self._spent[key] = tokens, request.at
            return request.at + self.refill * (1 - tokens)
        self._spent[key] = tokens - 1, request.at
        return None


#: Route → its buckets, as the documentation of 2026-08 has them for one account.
LETS_ENCRYPT: Mapping[str, Callable[[], TokenBucket]] = {
    "new-account": lambda: TokenBucket(10, timedelta(minutes=18)),
    "new-order": lambda: TokenBucket(300, timedelta(seconds=36), unless_replacing(per_account)),
}
