"""Problem documents (RFC 7807, RFC 8555 §6.7) and the reaction to each type: one table, a test each.

Nothing outside this table decides by message text; the only texts looked at are the two that Boulder gives no type for
(a rejection that concerns `replaces`, and a paused account).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from certd.model.identifiers import Identifier

URN = "urn:ietf:params:acme:error:"


class Reaction(Enum):
    """What the conversation does next; when and how often is the planner's."""

    NEW_NONCE = "retry at once with the nonce of that reply"
    LATER = "retry with backoff, not before Retry-After"
    POLL = "ask again for the object's state"
    NEW_KEY = "make another key or CSR"
    NEW_ORDER = "once more from a new order, then stop"
    CONFIGURATION = "permanent until the configuration changes"
    HUMAN = "a person must act"
    REPAIR = "look the account up, then register once"
    SUCCESS = "what was wanted is so already"
    WITHOUT_REPLACES = "retry once without replaces"
    UNSUPPORTED = "an extension that was not asked for"


REACTIONS: dict[str, Reaction] = {
    "badNonce": Reaction.NEW_NONCE,
    "serverInternal": Reaction.LATER,
    "rateLimited": Reaction.LATER,
    "connection": Reaction.LATER,
    "dns": Reaction.LATER,
    "tls": Reaction.LATER,
    "incorrectResponse": Reaction.LATER,
    "caa": Reaction.LATER,
    "compound": Reaction.LATER,
    "orderNotReady": Reaction.POLL,
    "badCSR": Reaction.NEW_KEY,
    "badPublicKey": Reaction.NEW_KEY,
    "badSignatureAlgorithm": Reaction.NEW_KEY,
    "malformed": Reaction.NEW_ORDER,
    "rejectedIdentifier": Reaction.CONFIGURATION,
    "unsupportedIdentifier": Reaction.CONFIGURATION,
    "unsupportedContact": Reaction.CONFIGURATION,
    "invalidContact": Reaction.CONFIGURATION,
    "externalAccountRequired": Reaction.CONFIGURATION,
    "badRevocationReason": Reaction.CONFIGURATION,
    "invalidProfile": Reaction.CONFIGURATION,
    "userActionRequired": Reaction.HUMAN,
    "unauthorized": Reaction.HUMAN,
    "accountDoesNotExist": Reaction.REPAIR,
    "alreadyRevoked": Reaction.SUCCESS,
    "alreadyReplaced": Reaction.WITHOUT_REPLACES,
    "conflict": Reaction.WITHOUT_REPLACES,
    # RFC 8739, RFC 9115, RFC 9799, device-attest
    "autoRenewalCanceled": Reaction.UNSUPPORTED,
    "autoRenewalExpired": Reaction.UNSUPPORTED,
    "autoRenewalCancellationInvalid": Reaction.UNSUPPORTED,
    "autoRenewalRevocationNotSupported": Reaction.UNSUPPORTED,
    "unknownDelegation": Reaction.UNSUPPORTED,
    "onionCAARequired": Reaction.CONFIGURATION,
    "badAttestationStatement": Reaction.UNSUPPORTED,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document. `type`: the full URN or `about:blank`; `detail`: the CA's text, verbatim but bounded."""

    type: str = "about:blank"
    detail: str = ""
    status: int = 0
    identifier: Identifier | None = None
    subproblems: tuple["Problem", ...] = ()
    algorithms: tuple[str, ...] = ()  # badSignatureAlgorithm (RFC 8555 §6.2)
    instance: str = ""  # userActionRequired: what a person shall open (§7.3.3)
    help_url: str = ""  # Link rel="help" (§6.6)
    retry_after: datetime | None = field(default=None)

    @property
    def kind(self) -> str:
        """`rateLimited` for `urn:ietf:params:acme:error:rateLimited`; the whole type for foreign ones."""
        return self.type.removeprefix(URN)

    @property
    def reaction(self) -> Reaction:
        """By type; for missing and unknown types by the HTTP class (RFC 8555 §6.7, R15)."""
        if self.kind == "rateLimited" and self.is_pause:
            return Reaction.HUMAN
        if known := REACTIONS.get(self.kind):
            return known
        if self.status == 409:
            return Reaction.WITHOUT_REPLACES
        if self.status in {408, 429} or self.status >= 500 or self.status == 0:
            return Reaction.LATER
        return Reaction.NEW_ORDER

    @property
    def is_pause(self) -> bool:
        """Let's Encrypt pauses (account, identifier) pairs that fail for months; only its web page unpauses them."""
        return "paused" in self.detail.lower() and "unpause" in self.detail.lower()

    @property
    def concerns_replaces(self) -> bool:
        """A newOrder refused because of its `replaces` (RFC 9773 §5): by type, or by Boulder's and Pebble's texts."""
        if self.reaction is Reaction.WITHOUT_REPLACES:
            return True
        text = self.detail.lower()
        if self.kind == "serverInternal":  # else the CA's own trouble, and the order is worth its `replaces`
            return "order for the given certificate" in text
        return self.kind in {"malformed", "unauthorized", "notFound"} and ("replace" in text or "certid" in text)

    def __str__(self) -> str:
        detail = self.detail or "no detail given"
        if self.type != "about:blank":
            return f"{detail} ({self.type})"
        return detail if detail.startswith(f"HTTP {self.status} ") else f"{detail} (HTTP {self.status})"
