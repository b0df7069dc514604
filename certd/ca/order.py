"""Orders (RFC 8555 §7.1.3, §7.4): what is sent to make one, how one is read, and what must never change in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from certd.ca.document import Document
from certd.ca.lifecycle import ORDER, check_transition, status_of
from certd.ca.problems import problem_in_object, read_identifier_leniently
from certd.ca.wire import b64url, payload_of
from certd.model.acme import NewOrder, Order, OrderStatus, OrderUrl
from certd.model.errors import CaContradiction
from certd.model.identifiers import Identifier


def new_order(wanted: NewOrder) -> bytes:
    """The payload of newOrder; `profile` (draft-ietf-acme-profiles) and `replaces` (RFC 9773 §5) where wanted."""
    fields: dict[str, Any] = {"identifiers": [identifier_object(i) for i in wanted.identifiers]}
    if wanted.profile:
        fields["profile"] = wanted.profile
    if wanted.replaces:
        fields["replaces"] = wanted.replaces
    if wanted.not_before is not None:
        fields["notBefore"] = _rfc3339(wanted.not_before)
    if wanted.not_after is not None:
        fields["notAfter"] = _rfc3339(wanted.not_after)
    return payload_of(fields)


def identifier_object(identifier: Identifier) -> dict[str, str]:
    """§9.7.7; RFC 8738 §3 for addresses."""
    return {"type": identifier.type.value, "value": identifier.value}


def finalization(csr_der: bytes) -> bytes:
    """The payload of finalize (§7.4): the CSR in DER, base64url."""
    return payload_of({"csr": b64url(csr_der)})


def read_order(document: Document, url: OrderUrl, retry_after: datetime | None) -> Order:
    """§7.1.3. Raises CaProtocolError: a URL elsewhere, no identifiers, nothing to go on with."""
    status = status_of(OrderStatus, document.text("status"), OrderStatus.UNKNOWN)
    error = problem_in_object(document.value("error"))
    live = status in {OrderStatus.PENDING, OrderStatus.READY}
    return Order(
        url=url,
        status=status,
        identifiers=_identifiers(document),
        authorizations=document.urls("authorizations"),
        finalize=document.required_url("finalize") if live else document.url("finalize"),
        certificate=document.url("certificate"),
        expires=document.moment("expires"),
        not_before=document.moment("notBefore"),
        not_after=document.moment("notAfter"),
        error=error,
        profile=document.words("profile"),
        replaces=document.words("replaces"),
        retry_after=retry_after,
    )


@dataclass(frozen=True, slots=True)
class Trace:
    """What must not change in an order, small enough to be kept for a thousand of them whatever a CA writes there."""

    status: OrderStatus
    identifiers: int
    authorizations: int
    finalize: int

    @classmethod
    def of(cls, order: Order) -> "Trace":
        return cls(order.status, hash(order.identifiers), hash(frozenset(order.authorizations)), hash(order.finalize))

    def later(self, status: OrderStatus) -> "Trace":
        """The same order in another state; what a later reply left out is still known."""
        return replace(self, status=status)


def same_order(before: Trace, after: Order) -> None:
    """Raises CaContradiction when *after* is not a later state of the order seen *before* (R19, R22).

    §7.1.3: the identifiers and authorizations never change after creation; "If a client observes a change in the
    contents of either array, then it SHOULD consider the order invalid." Their sequence means nothing (§7.4).
    """
    what, found = f"order {after.url}", Trace.of(after)
    if found.identifiers != before.identifiers:
        raise CaContradiction(f"{what}: the CA changed its identifiers to {_names(after.identifiers)}")
    if after.authorizations and found.authorizations != before.authorizations:
        raise CaContradiction(f"{what}: the CA changed its authorizations")
    if after.finalize and found.finalize != before.finalize:
        raise CaContradiction(f"{what}: the CA changed its finalize URL")
    check_transition(ORDER, before.status, after.status, what)


def _identifiers(document: Document) -> frozenset[Identifier]:
    found = []
    for place, item in enumerate(document.items("identifiers")):
        identifier = read_identifier_leniently(item)
        if identifier is None:
            document.refuse(f"identifiers[{place}]", "is no identifier that certd orders")
        found.append(identifier)
    if not found:
        document.refuse("identifiers", "is missing")
    return frozenset(found)


def _names(identifiers: frozenset[Identifier]) -> str:
    names: Sequence[str] = sorted(map(str, identifiers))
    return ", ".join(names[:10]) + (" …" if len(names) > 10 else "")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
