"""Issue one certificate: claim → key and order rows → proofs → validation → finalize → chain → generation → files.

Each arrow is durable before the next effect on the world, so that after `kill -9` at any instant the next run goes on
with the same order (invariants 1 to 5). Nothing here knows a configuration file or a command line.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from certd.issue.authorize import authorize
from certd.issue.ending import OrderLost, abandon
from certd.issue.failures import outage
from certd.issue.finalize import collect, finalize
from certd.issue.invalid import became_invalid
from certd.issue.order import open_order
from certd.issue.polling import poll_order
from certd.issue.ports import Ledger, Tools
from certd.issue.proofs import withdraw_all
from certd.issue.renewal import refresh_renewal
from certd.issue.work import Work
from certd.model.acme import Order, OrderStatus
from certd.model.desired import Desired
from certd.model.errors import CaContradiction, CaProtocolError, CaUnreachable, CertdError, ProviderError, TryLater
from certd.model.findings import Finding
from certd.model.records import Claim, Generation, Renewal, Scope, ScopeKind
from certd.plan.admission import FAILED_VALIDATIONS_WITHIN, OrderRequest, Wait, admit


async def issue(tools: Tools, desired: Desired, finding: Finding, *, by_person: bool) -> tuple[Generation, Renewal]:
    """Bring *desired* to a new generation, resuming an open order of its name.

    Raises TryLater (a limit, or another task has the name or the identifier set), CaError, ChallengeFailed,
    ChainRejected, ProviderError, ListenError, ConfigError, StorageError; in each case the ledger has what the next run
    needs.
    """
    async with claimed(tools.ledger, desired) as claim:
        row, before = await tools.ledger.open_order(desired.name), await tools.ledger.newest_generation(desired.name)
        if row is None or not row.state.is_paid:
            await _check_admission(tools, desired, before, by_person=by_person)
        issuer = Scope(ScopeKind.ISSUER, desired.issuer, desired.issuer)
        try:
            generation = await _one_or_another(tools, claim, desired, finding, before, by_person=by_person)
        except CaUnreachable as failure:
            await outage(tools, claim, issuer, "unreachable", failure)
            raise
        except CaProtocolError as failure:
            await outage(tools, claim, issuer, "protocol", failure)
            raise
        except ProviderError as failure:
            zone = Scope(ScopeKind.ZONE, desired.issuer, desired.set_key)
            await outage(tools, claim, zone, "provider", failure)
            raise
        await tools.files.write(generation)
        return generation, await refresh_renewal(tools, generation)


@asynccontextmanager
async def claimed(ledger: Ledger, desired: Desired) -> AsyncIterator[Claim]:
    """Hold the claims on the certificate's name and its identifier set."""
    claim = ledger.claim(desired.name, desired.set_key)
    if claim is None:
        raise TryLater(
            f"{desired.name}: another task of this certd is issuing it, or one with the same names", until=None
        )
    try:
        yield claim
    finally:
        ledger.release(claim)


async def _one_or_another(
    tools: Tools, claim: Claim, desired: Desired, finding: Finding, before: Generation | None, *, by_person: bool
) -> Generation:
    """Follow the open order, or a new one; and once more from another where that one has come to nothing."""
    try:
        return await drive(*await open_order(tools, claim, desired, finding, before))
    except OrderLost as lost:
        tools.progress.note(f"{lost}; trying another order")
    # What was learned of it counts: it may have been the fifth failed validation within an hour.
    await _check_admission(tools, desired, before, by_person=by_person)
    try:
        return await drive(*await open_order(tools, claim, desired, finding, before))
    except OrderLost as lost:
        raise lost.why from lost


async def drive(work: Work, order: Order) -> Generation:
    """Follow the order to its certificate (RFC 8555 §7.1.6, §7.4)."""
    while True:
        match order.status:
            case OrderStatus.PENDING:
                order = await _authorize(work, order)
            case OrderStatus.READY:
                order = await _finalize(work, order)
            case OrderStatus.PROCESSING | OrderStatus.UNKNOWN:
                if order.status is OrderStatus.PROCESSING:
                    await withdraw_all(work)
                limit = work.tools.patience.issuance
                order = await poll_order(work, order, while_=OrderStatus.PROCESSING, limit=limit)
            case OrderStatus.VALID:
                await withdraw_all(work)
                return await collect(work, order)
            case OrderStatus.INVALID:
                raise await became_invalid(work, order)


async def _authorize(work: Work, order: Order) -> Order:
    try:
        return await authorize(work, order)
    except CaContradiction as why:
        # R19: "SHOULD consider the order invalid". Nothing is paid for yet, so it may be given up.
        await abandon(work, str(why), order.authorizations[:1])
        raise


async def _finalize(work: Work, order: Order) -> Order:
    """The authorizations are final, so the proofs go; after the CSR was sent, because that is when the CA works."""
    try:
        order = await finalize(work, order)
    except (CertdError, OrderLost):
        await withdraw_all(work)
        raise
    await withdraw_all(work)
    return order


async def _check_admission(tools: Tools, desired: Desired, serving: Generation | None, *, by_person: bool) -> None:
    now = tools.clock.now()
    rows, failed = await tools.ledger.standing(_scopes(tools, desired), now - FAILED_VALIDATIONS_WITHIN)
    verdict = admit(OrderRequest(rows, failed, by_person, serving.not_before if serving is not None else None), now)
    if isinstance(verdict, Wait):
        raise TryLater(
            f"{verdict.reason}; nothing was sent to the CA", until=verdict.until, hint=_what_to_do(verdict.until)
        )


def _scopes(tools: Tools, desired: Desired) -> list[Scope]:
    issuer = desired.issuer
    return [
        Scope(ScopeKind.ISSUER, issuer, issuer),
        Scope(ScopeKind.ACCOUNT, issuer, tools.account.url),
        Scope(ScopeKind.SET, issuer, desired.set_key),
        Scope(ScopeKind.ZONE, issuer, desired.set_key),
        *(Scope(ScopeKind.IDENTIFIER, issuer, identifier.base) for identifier in desired.identifiers),
    ]


def _what_to_do(until: datetime) -> str:
    return f"correct what failed, and run the command again at {until:%Y-%m-%d %H:%M}Z or later"
