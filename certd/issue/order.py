"""From a wish to an order with a URL in the journal: resumed if one is open, placed if not (invariant 3)."""

from dataclasses import replace

from certd.issue.ending import abandon, deactivate, lost, one_pending
from certd.issue.failures import is_gone, refused
from certd.issue.invalid import failed_before
from certd.issue.ports import Ledger, Tools
from certd.issue.work import Work, each
from certd.model.acme import CertId, NewOrder, Order, OrderStatus
from certd.model.desired import Desired
from certd.model.errors import CaContradiction, CaProtocolError, CaRefused, TryLater
from certd.model.events import OrderPlaced
from certd.model.findings import Finding
from certd.model.keys import KeyId, KeyRecord
from certd.model.records import Claim, Generation, OrderRecord, OrderState
from certd.model.steps import Step, step
from certd.plan.scopes import Stage


async def open_order(
    tools: Tools, claim: Claim, desired: Desired, finding: Finding, before: Generation | None
) -> tuple[Work, Order]:
    """The order of the certificate after *before*, at the CA and in the journal.

    Raises CaError, the journal then has what the next run needs; OrderLost for an open order that came to nothing.
    """
    row = await tools.ledger.open_order(desired.name)
    if row is not None:
        work = Work(tools, claim, desired, row.reason, row, before)
        mismatch = does_not_fit(row, await key_of(tools.ledger, row), desired, tools.account.id)
        if mismatch is None:
            return work, await _resume(work)
        await abandon(work, mismatch)
    await _end_namesake(tools, claim, desired)
    work = await _intend(tools, claim, desired, finding, before)
    return work, await _place(work)


def does_not_fit(row: OrderRecord, key: KeyRecord | None, desired: Desired, account_id: str) -> str | None:
    """Why an open order with *key* is not the one that is wanted now, or None: go on with it."""
    ours = desired.csr is None
    changed = {
        "another issuer or account is wanted now": (row.issuer, row.account_id) != (desired.issuer, account_id),
        "other names are wanted now": row.set_key != desired.set_key,
        "another profile is wanted now": row.profile != desired.profile,
        "another CSR is given now": not ours and row.csr != desired.csr,
        "a key of our own is wanted now": ours and key is None,
        "another type of key is wanted now": ours and key is not None and key.type is not desired.key.type,
    }
    return next((why for why, is_so in changed.items() if is_so), None)


async def key_of(ledger: Ledger, row: OrderRecord) -> KeyRecord | None:
    """The key of an order's CSR; None where that came from outside."""
    return None if row.key_id is None else await ledger.key(row.key_id)


async def _end_namesake(tools: Tools, claim: Claim, desired: Desired) -> None:
    """No certificate of another name may have an open order for the same names: CAs would give both the same one."""
    row = await tools.ledger.open_order_for_set(desired.issuer, desired.set_key)
    if row is None:
        return
    if row.state.is_paid:
        raise TryLater(
            f"{desired.name}: the certificate {row.name} has the same names, and its order is not yet over",
            until=None,
            hint=f"bring that one to its end first: certd issue --name {row.name} … with the same names",
        )
    await abandon(Work(tools, claim, desired, row.reason, row), f"the same names are wanted as {desired.name} now")


async def _intend(tools: Tools, claim: Claim, desired: Desired, finding: Finding, before: Generation | None) -> Work:
    """Key, CSR and order row, durable before newOrder is sent (invariant 2)."""
    key_id: KeyId | None = None
    new_keys: list[KeyRecord] = []
    csr = desired.csr
    if csr is None:
        kept = _key_to_keep(tools, desired, before)
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
        replaces=await _predecessor(tools, desired, before),
        reason=finding.message,
        state=OrderState.INTENT,
        created_at=tools.clock.now(),
    )
    work = Work(tools, claim, desired, finding.message, row, before)
    await work.save(row, Step.INTENT_STORED, *new_keys)
    return work


async def _predecessor(tools: Tools, desired: Desired, before: Generation | None) -> CertId | None:
    """RFC 9773 §5: `replaces` needs the same issuer, the same account and at least one shared identifier."""
    if before is None or before.issuer != desired.issuer:
        return None
    shared = set(desired.set_key.split(",")) & set(before.set_key.split(","))
    made_by = await tools.ledger.order(before.order_id)  # pruned after a time
    ours = made_by is None or made_by.account_id == tools.account.id
    return before.cert_id if shared and ours else None


def _key_to_keep(tools: Tools, desired: Desired, before: Generation | None) -> KeyId | None:
    """The last generation's key where it is wanted again, and fit to be."""
    if before is None or not desired.key.keep or before.key_type is not desired.key.type:
        return None
    if before.revoked_at is not None:
        tools.progress.note(f"{desired.name}: the key of a revoked certificate is not kept")
        return None
    return before.key_id


async def _place(work: Work) -> Order:
    """Send newOrder and store its URL; a kill in between may cost one more order, never a certificate."""
    order = await _new_order(work)
    if await work.tools.ledger.order_by_url(order.url) is not None:
        # Boulder hands out a pending order again whatever the key. This one we gave up, or it is another
        # certificate's: end it for good, so that one URL stands once in the journal.
        ended = order.url
        await each(await one_pending(work, order), lambda url: deactivate(work, url))
        order = await _new_order(work)
        if order.url == ended:
            raise CaProtocolError(f"{work.order.name}: the CA keeps answering newOrder with an order that has ended")
    if order.status in {OrderStatus.PROCESSING, OrderStatus.VALID}:
        # Finalized by somebody else with this account: its certificate is for a key that we do not have.
        raise CaProtocolError(
            f"{work.order.name}: the CA answers newOrder with one that is {order.status.value} already: {order.url}"
        )
    check_identifiers(work, order)
    placed = replace(work.order, state=OrderState.PLACED, url=order.url, expires_at=order.expires)
    event = OrderPlaced(work.order.name, work.order.issuer, order.url, work.reason)
    await work.save(placed, Step.ORDER_STORED, events=[event])
    return order


async def _new_order(work: Work) -> Order:
    row = work.order
    wanted = NewOrder(work.identifiers, profile=row.profile, replaces=row.replaces)
    try:
        with step(Step.ORDER_SENT):
            return await work.tools.ca.new_order(wanted)
    except CaRefused as refusal:
        raise await refused(work, refusal, Stage.ORDER) from refusal


async def _resume(work: Work) -> Order:
    """The open order as it is at the CA now; raises OrderLost when it has come to nothing."""
    row = work.order
    if row.url is None:
        return await _place(work)
    if row.state.is_paid:
        # Not looked at: CAs forget orders after a week, and keep certificates for their lifetime.
        names = frozenset(work.identifiers)
        return Order(row.url, OrderStatus.VALID, names, (), finalize="", certificate=row.certificate_url)
    try:
        order = await work.tools.ca.fetch_order(row.url)
    except CaRefused as refusal:
        if is_gone(refusal.problem):
            raise await lost(work, f"the CA no longer knows the order: {refusal.problem.detail}") from refusal
        raise await refused(work, refusal, Stage.ORDER, keep=True) from refusal
    if order.status is OrderStatus.INVALID:
        raise await failed_before(work, order)
    if order.status in {OrderStatus.PENDING, OrderStatus.READY}:
        await _still_the_same(work, order)
    work.tools.progress.note(f"{row.name}: goes on with the order of {row.created_at:%Y-%m-%d %H:%M}Z")
    return order


async def _still_the_same(work: Work, order: Order) -> None:
    """A finalized order is not looked at so closely: what it made is checked name by name."""
    try:
        check_identifiers(work, order)
    except CaContradiction as why:
        await abandon(work, str(why), await one_pending(work, order))
        raise


def check_identifiers(work: Work, order: Order) -> None:
    """An order with somebody else's identifiers, or one that changed them, is not ours (R19)."""
    if order.identifiers != frozenset(work.identifiers):
        names = ", ".join(sorted(map(str, order.identifiers)))
        raise CaContradiction(f"{work.order.name}: the CA's order is for other names ({names}): {order.url}")
