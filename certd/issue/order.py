"""From a wish to an order with a URL in the journal: resumed if one is open, placed if not (invariant 3)."""

from dataclasses import replace

from certd.issue.failures import refused
from certd.issue.ports import Tools
from certd.issue.proofs import withdraw_all
from certd.issue.work import Work
from certd.model.acme import CertId, NewOrder, Order, OrderStatus
from certd.model.desired import Desired
from certd.model.errors import CaProtocolError, CaRefused
from certd.model.events import OrderAbandoned, OrderPlaced
from certd.model.findings import Finding
from certd.model.keys import KeyId, KeyRecord
from certd.model.records import Claim, OrderRecord, OrderState
from certd.model.steps import Step, step
from certd.plan.scopes import Stage


async def open_order(tools: Tools, claim: Claim, desired: Desired, finding: Finding) -> tuple[Work, Order]:
    """The order of this certificate, at the CA and in the journal.

    Raises CaError; the journal then holds what the next run needs.
    """
    row = await tools.ledger.open_order(desired.name)
    if row is not None:
        work = Work(tools, claim, desired, row.reason, row)
        mismatch = does_not_fit(row, tools, desired)
        if mismatch is None:
            order = await _resume(work)
            if order is not None:
                return work, order
        else:
            await abandon(work, mismatch)
    work = await _intend(tools, claim, desired, finding)
    return work, await _place(work)


def does_not_fit(row: OrderRecord, tools: Tools, desired: Desired) -> str | None:
    """Why an open order is not the one that is wanted now, or None: go on with it."""
    if row.issuer != desired.issuer or row.account_id != tools.account.id:
        return "another issuer or account is wanted now"
    if row.set_key != desired.set_key:
        return "other names are wanted now"
    if row.profile != desired.profile:
        return "another profile is wanted now"
    if desired.csr is not None and row.csr != desired.csr:
        return "another CSR is given now"
    if desired.csr is None and row.key_id is None:
        return "a key of our own is wanted now"
    return None


async def abandon(work: Work, why: str) -> None:
    """Give up an order: no validation may stay pending at the CA, and no proof in the world (R38, invariant 5)."""
    row = work.order
    if row.state is OrderState.PLACED and row.url is not None:
        try:
            order = await work.tools.ca.fetch_order(row.url)
            await deactivate_one(work, order)
        except CaRefused as gone:
            work.tools.progress.note(f"{row.name}: the abandoned order is gone at the CA already: {gone.problem}")
    dead = replace(row, state=OrderState.DEAD, ended_because=why)
    event = OrderAbandoned(row.name, row.issuer, row.url or "", why)
    await work.save(dead, Step.FAILURE_STORED, event)
    await withdraw_all(work)


async def deactivate_one(work: Work, order: Order) -> None:
    """Make an order unusable: one deactivated authorization is enough (RFC 8555 §7.1.6)."""
    if order.status in {OrderStatus.PENDING, OrderStatus.READY} and order.authorizations:
        with step(Step.AUTHORIZATION_ENDED):
            await work.tools.ca.deactivate_authorization(order.authorizations[0])


async def _intend(tools: Tools, claim: Claim, desired: Desired, finding: Finding) -> Work:
    """Key, CSR and order row, durable before newOrder is sent (invariant 2)."""
    before = await tools.ledger.newest_generation(desired.name)
    key_id: KeyId | None = None
    new_keys: list[KeyRecord] = []
    csr = desired.csr
    if csr is None:
        kept = before.key_id if before and desired.key.keep and before.key_type is desired.key.type else None
        record = await tools.ledger.key(kept) if kept else await tools.keys.generate(desired.key.type)
        key_id, new_keys = record.id, [] if kept else [record]
        csr = await tools.certificates.csr(await tools.keys.open(record), desired.identifiers)
    row = OrderRecord(
        id=tools.new_id(),
        name=desired.name,
        set_key=desired.set_key,
        issuer=desired.issuer,
        account_id=tools.account.id,
        key_id=key_id,
        csr=csr,
        profile=desired.profile,
        preferred_chain=desired.preferred_chain,
        replaces=_predecessor(desired, before.cert_id, before.issuer, before.set_key) if before else None,
        reason=finding.message,
        state=OrderState.INTENT,
        created_at=tools.clock.now(),
    )
    work = Work(tools, claim, desired, finding.message, row)
    await tools.ledger.commit(claim, Step.INTENT_STORED, *new_keys, row)
    return work


def _predecessor(desired: Desired, cert_id: CertId | None, issuer: str, set_key: str) -> CertId | None:
    """RFC 9773 §5: `replaces` needs the same issuer and at least one shared identifier."""
    shared = set(desired.set_key.split(",")) & set(set_key.split(","))
    return cert_id if issuer == desired.issuer and shared else None


async def _place(work: Work) -> Order:
    """Send newOrder and store its URL; a kill in between may cost one more order, never a certificate."""
    order = await _new_order(work)
    known = await work.tools.ledger.order_by_url(order.url)
    if known is not None and known.id != work.order.id:
        # Boulder hands out a pending order again whatever the key. This one we gave up, or it is another
        # certificate's: end it for good, so that one URL stands once in the journal.
        await deactivate_one(work, order)
        order = await _new_order(work)
        if order.url == known.url:
            raise CaProtocolError(f"{work.order.name}: the CA keeps answering newOrder with an order that has ended")
    check_identifiers(work, order)
    placed = replace(work.order, state=OrderState.PLACED, url=order.url, expires_at=order.expires)
    event = OrderPlaced(work.order.name, work.order.issuer, order.url, work.reason)
    await work.save(placed, Step.ORDER_STORED, event)
    return order


async def _new_order(work: Work) -> Order:
    row = work.order
    wanted = NewOrder(work.identifiers, profile=row.profile, replaces=row.replaces)
    try:
        with step(Step.ORDER_SENT):
            return await work.tools.ca.new_order(wanted)
    except CaRefused as refusal:
        raise await refused(work, refusal, Stage.ORDER) from refusal


async def _resume(work: Work) -> Order | None:
    """The open order at the CA; None when it is lost there, and a new one may be placed."""
    row = work.order
    if row.url is None:
        return await _place(work)
    try:
        order = await work.tools.ca.fetch_order(row.url)
    except CaRefused as refusal:
        if refusal.problem.status not in {403, 404} and refusal.problem.kind != "malformed":
            raise
        await _lost(work, f"the CA no longer knows it: {refusal.problem.detail}")
        return None
    if order.status is OrderStatus.INVALID and not row.state.is_paid:
        await _lost(work, "it became invalid while nobody looked")
        return None
    check_identifiers(work, order)
    work.tools.progress.note(f"{row.name}: goes on with the order of {row.created_at:%Y-%m-%d %H:%M}Z")
    return order


async def _lost(work: Work, why: str) -> None:
    row = work.order
    dead = replace(row, state=OrderState.DEAD, ended_because=why)
    await work.save(dead, Step.FAILURE_STORED, OrderAbandoned(row.name, row.issuer, row.url or "", why))
    await withdraw_all(work)


def check_identifiers(work: Work, order: Order) -> None:
    """An order with somebody else's identifiers, or one that changed them, is not ours (R19)."""
    if order.identifiers != frozenset(work.identifiers):
        names = ", ".join(sorted(map(str, order.identifiers)))
        raise CaProtocolError(f"{work.order.name}: the CA's order is for other names ({names}): {order.url}")
