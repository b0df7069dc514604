"""Problem documents (RFC 7807) with the error types of RFC 8555 §6.7, RFC 9773 §7.4 and the profiles draft."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAMESPACE = "urn:ietf:params:acme:error:"

#: Type → HTTP status where nothing else is said.
STATUS: Mapping[str, int] = {
    "accountDoesNotExist": 400,
    "alreadyReplaced": 409,
    "alreadyRevoked": 400,
    "badCSR": 400,
    "badNonce": 400,
    "badPublicKey": 400,
    "badRevocationReason": 400,
    "badSignatureAlgorithm": 400,
    "compound": 400,
    "connection": 400,
    "dns": 400,
    "externalAccountRequired": 403,
    "incorrectResponse": 403,
    "invalidContact": 400,
    "invalidProfile": 400,
    "malformed": 400,
    "orderNotReady": 403,
    "rateLimited": 429,
    "rejectedIdentifier": 400,
    "serverInternal": 500,
    "tls": 400,
    "unauthorized": 403,
    "unsupportedContact": 400,
    "unsupportedIdentifier": 400,
    "userActionRequired": 403,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """`type` without its namespace; `identifier` as RFC 8555 writes it, for subproblems (§6.7.1)."""

    type: str
    detail: str
    status: int
    identifier: dict[str, str] | None = None
    subproblems: tuple["Problem", ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def document(self, *, nested: bool = False) -> dict[str, Any]:
        """What is sent; a nested one (subproblem, `error` of a challenge) keeps its status only outside a list."""
        found: dict[str, Any] = {"type": NAMESPACE + self.type, "detail": self.detail, **self.extra}
        if not nested:
            found["status"] = self.status
        if self.identifier is not None:
            found["identifier"] = self.identifier
        if self.subproblems:
            found["subproblems"] = [each.document(nested=True) for each in self.subproblems]
        return found


def problem(kind: str, detail: str, *, status: int | None = None, **more: Any) -> Problem:
    return Problem(kind, detail, STATUS[kind] if status is None else status, **more)


class Refused(Exception):
    """A request is answered with this problem, and these headers beside."""

    def __init__(self, found: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{found.type}: {found.detail}")
        self.problem = found
        self.headers = dict(headers or {})


def refused(kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Refused:
    return Refused(problem(kind, detail, **more), headers)
