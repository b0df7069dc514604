"""From a ready order to a stored generation. Once the CA has issued, certd only downloads (invariant 3)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from certd.issue.ending import lost
from certd.issue.failures import OF_THE_KEY, is_gone, refused
from certd.issue.polling import fetch_kept, poll_order
from certd.issue.work import Work
from certd.model.acme import Chain, Order, OrderStatus
from certd.model.errors import CaProtocolError, CaRefused, ChainRejected
from certd.model.events import CertificateIssued, ChainQuarantined
from certd.model.findings import Finding
from certd.model.problems import Problem, Reaction
from certd.model.records import DesiredRecord, Generation, OrderState, Scope, ScopeKind
from certd.model.steps import Step, step
from certd.plan.scopes import Stage

#: A finding that is no reason to refuse a chain: it waits for its notBefore before it is deployed (design 5).
NOT_YET_VALID = "not-yet-valid"

#: Pauses after orderNotReady for an order that is ready: replicas of a CA lag, and a new order would not help (R32).
NOT_READY = tuple(timedelta(seconds=n) for n in (1, 4, 16))


async def finalize(work: Work, order: Order) -> Order:
    """Send the CSR. RFC 8555 §7.4: after badCSR the order stays ready, so another key may be tried, once."""
    pauses, may_change = iter(NOT_READY), work.order.key_id is not None
    while True:
        try:
            return await _send_csr(work, order)
        except CaRefused as refusal:
            problem = refusal.problem
            if problem.reaction is Reaction.POLL and (pause := next(pauses, None)):
                order = await _look_again(work, order, problem, pause)
                if order.status is not OrderStatus.READY:
                    return order
            elif problem.kind in OF_THE_KEY and may_change:
                may_change = False
                work.tools.progress.note(f"{work.order.name}: the CA refused the key ({problem}); trying a new one")
                await _change_key(work)
            else:
                raise await refused(work, refusal, Stage.FINALIZE) from refusal


async def _send_csr(work: Work, order: Order) -> Order:
    with step(Step.FINALIZE_SENT):
        order = await work.tools.ca.finalize(order, work.order.csr)
    if order.status is OrderStatus.READY:  # taken, and not yet shown; sent again it would be orderNotReady
        return await poll_order(work, order, while_=OrderStatus.READY, limit=work.tools.patience.issuance)
    return order


async def _look_again(work: Work, order: Order, problem: Problem, pause: timedelta) -> Order:
    clock = work.tools.clock
    moment = min(problem.retry_after or clock.now() + pause, clock.now() + work.tools.patience.issuance)
    await clock.sleep_until(moment)
    return await fetch_kept(work, order)


async def _change_key(work: Work) -> None:
    tools = work.tools
    record = await tools.keys.generate(work.desired.key.type)
    csr = await tools.certificates.csr(await tools.keys.open(record), work.identifiers)
    await work.save(replace(work.order, key_id=record.id, csr=csr), Step.INTENT_STORED, record)


async def collect(work: Work, order: Order) -> Generation:
    """Download, check and store the certificate of a valid order.

    Raises ChainRejected for an odd chain: it is kept in quarantine and downloaded again by the next run.
    """
    if not work.order.state.is_paid:
        if not order.certificate:
            raise CaProtocolError(f"{work.order.name}: the CA's order is valid but names no certificate (§7.4)")
        issued = replace(work.order, state=OrderState.ISSUED, certificate_url=order.certificate)
        await work.save(issued, Step.CERTIFICATE_URL_STORED)
    order = replace(order, certificate=work.order.certificate_url)
    try:
        chain = await _download_checked(work, order)
    except CaRefused as refusal:
        moved = await _moved(work, order) if is_gone(refusal.problem) else None
        if moved is None:
            raise await refused(work, refusal, Stage.FINALIZE, keep=True) from refusal
        await work.save(replace(work.order, certificate_url=moved.certificate), Step.CERTIFICATE_URL_STORED)
        chain = await _download_checked(work, moved)
    return await _store(work, chain)


async def _moved(work: Work, order: Order) -> Order | None:
    """The order with another URL of its certificate, if the CA has one; OrderLost if it has not even the order."""
    try:
        now = await work.tools.ca.fetch_order(order.url)
    except CaRefused as refusal:
        if is_gone(refusal.problem):
            raise await lost(work, "the CA has lost the order and its certificate") from refusal
        return None
    return now if now.certificate and now.certificate != order.certificate else None


async def _download_checked(work: Work, order: Order) -> Chain:
    chain, oddity = await _download(work, order)
    if oddity:
        # Once more at once: a CA behind several front ends may serve one odd reply.
        chain, oddity = await _download(work, order)
    if chain is not None and not oddity:
        return chain
    kept = await work.tools.files.quarantine(work.order, work.tools.certificates.pem(chain)) if chain else ""
    row = replace(work.order, state=OrderState.QUARANTINED)
    event = ChainQuarantined(row.name, row.issuer, row.url or "", oddity)
    await work.save(row, Step.CHAIN_QUARANTINED, events=[event])
    where = f"it is kept in {kept}; " if kept else ""
    raise ChainRejected(
        f"{row.name}: the CA's chain was not installed: {oddity}",
        hint=f"{where}the next run downloads it again and orders nothing new",
    )


async def _download(work: Work, order: Order) -> tuple[Chain | None, str]:
    """The chain and what is odd about it; no chain where the reply held anything but certificates (R35)."""
    tools, preferred = work.tools, work.order.preferred_chain
    try:
        with step(Step.CHAIN_DOWNLOADED):
            chains = await tools.ca.download(order, alternates=bool(preferred))
    except CaProtocolError as odd:
        return None, str(odd)
    chain, found = tools.certificates.choose(chains, preferred)
    if preferred and not found:
        tools.progress.note(f"{work.order.name}: no chain from the CA matches {preferred!r}; its default is used")
    findings = tools.certificates.check(chain, work.order.csr, work.identifiers, tools.clock.now())
    return chain, _what_is_odd(findings)


def _what_is_odd(findings: Sequence[Finding]) -> str:
    return "; ".join(finding.message for finding in findings if finding.code != NOT_YET_VALID)


async def _store(work: Work, chain: Chain) -> Generation:
    tools, row = work.tools, work.order
    facts = tools.certificates.facts(chain.leaf)
    now = tools.clock.now()
    generation = Generation(
        name=row.name,
        number=work.before.number + 1 if work.before else 1,
        issuer=row.issuer,
        order_id=row.id,
        key_id=row.key_id,
        set_key=row.set_key,
        key_type=facts.key_type,
        profile=row.profile,
        chain=tools.certificates.pem(chain),
        serial=facts.serial,
        cert_id=facts.cert_id,
        fingerprint=facts.fingerprint,
        not_before=facts.not_before,
        not_after=facts.not_after,
        reason=row.reason,
        created_at=now,
        csr_given=row.key_id is None,
    )
    done = replace(row, state=OrderState.DONE)
    wish = DesiredRecord(row.name, "one-shot", work.desired.to_json(), now)
    event = CertificateIssued(row.name, generation.number, row.issuer, facts.serial, facts.not_after, row.reason)
    await work.save(done, Step.GENERATION_STORED, generation, wish, events=[event])
    await tools.ledger.clear_scopes(_touched(work))
    return generation


def _touched(work: Work) -> list[Scope]:
    whole = [work.scope(kind) for kind in (ScopeKind.ISSUER, ScopeKind.ACCOUNT, ScopeKind.SET, ScopeKind.ZONE)]
    return [*whole, *(work.scope(ScopeKind.IDENTIFIER, identifier) for identifier in work.identifiers)]
