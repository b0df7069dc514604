"""An order's status as of now (RFC 8555 §7.1.6): it follows from its authorizations and the time.

Issuance at the end of `processing` happens here too, when somebody looks: no timer is lost in a restart.
"""

from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives import serialization

from certd.devca.authority import Authority
from certd.devca.csr import load_key
from certd.devca.issue import certificate_id, new_serial
from certd.devca.problems import problem
from certd.devca.records import Authorization, AuthorizationStatus, Certificate, Order, OrderStatus

OPEN = (OrderStatus.PENDING, OrderStatus.READY)


def settle(ca: Authority, found: Order) -> Order:
    """*found* as it is now: §7.1.6's transitions that need nobody's request, and issuance once its time has come."""
    if found.status in OPEN:
        changed = _from_authorizations(ca, found, [ca.store.authorizations[each] for each in found.authorizations])
        if changed != found:
            ca.store.put(changed)
        return changed
    if found.status is OrderStatus.PROCESSING and found.issue_at is not None and ca.now() >= found.issue_at:
        changed, *others = _issued(ca, found)
        # In one transaction: a kill in between would buy a second certificate.
        ca.store.put(changed, *others)
        return changed
    return found


def _from_authorizations(ca: Authority, found: Order, authorizations: list[Authorization]) -> Order:
    now = ca.now()
    statuses = {each.at(now) for each in authorizations}
    if statuses - {AuthorizationStatus.PENDING, AuthorizationStatus.VALID}:
        return replace(found, status=OrderStatus.INVALID, error=_why(authorizations, ca))
    if now >= found.expires:
        error = problem("malformed", "the order has expired").document()
        return replace(found, status=OrderStatus.INVALID, error=error)
    ready = statuses == {AuthorizationStatus.VALID}
    return replace(found, status=OrderStatus.READY if ready else OrderStatus.PENDING)


def _why(authorizations: list[Authorization], ca: Authority) -> dict[str, Any]:
    """The error of the one authorization that failed, or all of them as subproblems (§6.7.1)."""
    failed: list[dict[str, Any]] = []
    for each in authorizations:
        status = each.at(ca.now())
        if status in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID):
            continue
        error = next((one.error for one in each.challenges if one.error is not None), None)
        detail = f"{each.identifier.value}: its authorization is {status.value}"
        found = error or problem("unauthorized", detail).document()
        failed.append(found | {"identifier": each.identifier.document()})
    if len(failed) == 1:
        return {key: value for key, value in failed[0].items() if key != "identifier"}
    detail = f"{len(failed)} of {len(authorizations)} authorizations failed"
    return problem("compound", detail, status=403).document() | {"subproblems": failed}


def _issued(ca: Authority, found: Order) -> tuple[Order, *tuple[Certificate, ...]]:
    """The order as it ends, the certificate, and the one that it replaces."""
    assert found.public_key is not None  # noqa: S101 - `processing` is entered with one
    lifetime = ca.options.profiles.get(found.profile)
    if lifetime is None:
        error = problem("invalidProfile", f"the profile {found.profile!r} is gone").document()
        return (replace(found, status=OrderStatus.INVALID, error=error),)
    serial = new_serial(ca.rng, ca.options.zero_serials)
    names = ca.shuffled(found.identifiers)
    leaf = ca.issuer.issue(load_key(found.public_key), names, lifetime, ca.now(), serial)
    certificate = Certificate(
        id=ca.new_id(),
        account=found.account,
        order=found.id,
        identifiers=found.identifiers,
        leaf=leaf.public_bytes(serialization.Encoding.DER),
        cert_id=certificate_id(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
    )
    order = replace(found, status=OrderStatus.VALID, certificate=certificate.id)
    before = ca.store.certificate_with(found.replaces) if found.replaces is not None else None
    return (order, certificate) if before is None else (order, certificate, replace(before, replaced_by=found.id))
