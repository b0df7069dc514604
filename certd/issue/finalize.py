"""From a ready order to a stored generation. Once the CA has issued, certd only downloads (invariant 3)."""

from collections.abc import Sequence
from dataclasses import replace

from certd.issue.failures import refused
from certd.issue.polling import poll_order
from certd.issue.work import Work
from certd.model.acme import Chain, Order, OrderStatus
from certd.model.errors import CaProtocolError, CaRefused, ChainRejected
from certd.model.events import CertificateIssued, ChainQuarantined
from certd.model.findings import Finding
from certd.model.problems import Reaction
from certd.model.records import DesiredRecord, Generation, OrderState, Scope, ScopeKind
from certd.model.steps import Step, step
from certd.plan.scopes import Stage

#: A finding that is no reason to refuse a chain: it waits for its notBefore before it is deployed (design 5).
NOT_YET_VALID = "not-yet-valid"


async def finalize(work: Work, order: Order) -> Order:
    """Send the CSR. RFC 8555 §7.4: after badCSR the order stays ready, so another key may be tried, once."""
    try:
        return await _send_csr(work, order)
    except CaRefused as refusal:
        if refusal.problem.reaction is Reaction.POLL:
            return await poll_order(work, order, while_=OrderStatus.READY, limit=work.tools.patience.issuance)
        if refusal.problem.reaction is not Reaction.NEW_KEY or work.order.key_id is None:
            raise await refused(work, refusal, Stage.FINALIZE) from refusal
        work.tools.progress.note(f"{work.order.name}: the CA refused the key ({refusal.problem}); trying a new one")
    await _change_key(work)
    try:
        return await _send_csr(work, order)
    except CaRefused as refusal:
        raise await refused(work, refusal, Stage.FINALIZE) from refusal


async def _send_csr(work: Work, order: Order) -> Order:
    with step(Step.FINALIZE_SENT):
        return await work.tools.ca.finalize(order, work.order.csr)


async def _change_key(work: Work) -> None:
    tools = work.tools
    record = await tools.keys.generate(work.desired.key.type)
    csr = await tools.certificates.csr(await tools.keys.open(record), work.identifiers)
    row = replace(work.order, key_id=record.id, csr=csr)
    await tools.ledger.commit(work.claim, Step.INTENT_STORED, record, row)
    work.order = row


async def collect(work: Work, order: Order) -> Generation:
    """Download, check and store the certificate of a valid order.

    Raises ChainRejected for an odd chain: it is kept in quarantine and downloaded again by the next run.
    """
    if not work.order.state.is_paid:
        if not order.certificate:
            raise CaProtocolError(f"{work.order.name}: the CA's order is valid but names no certificate (§7.4)")
        issued = replace(work.order, state=OrderState.ISSUED, certificate_url=order.certificate)
        await work.save(issued, Step.CERTIFICATE_URL_STORED)
    chain = await _download_checked(work, replace(order, certificate=work.order.certificate_url))
    return await _store(work, chain)


async def _download_checked(work: Work, order: Order) -> Chain:
    chain, findings = await _download(work, order)
    if findings:
        # Once more at once: a CA behind several front ends may serve one odd reply.
        chain, findings = await _download(work, order)
    if not findings:
        return chain
    text = "; ".join(finding.message for finding in findings)
    kept = await work.tools.files.quarantine(work.order, work.tools.certificates.pem(chain))
    row = replace(work.order, state=OrderState.QUARANTINED)
    await work.save(row, Step.CHAIN_QUARANTINED, ChainQuarantined(row.name, row.issuer, row.url or "", text))
    raise ChainRejected(
        f"{row.name}: the CA's chain was not installed: {text}",
        hint=f"it is kept in {kept}; the next run downloads it again and orders nothing new",
    )


async def _download(work: Work, order: Order) -> tuple[Chain, Sequence[Finding]]:
    tools, preferred = work.tools, work.order.preferred_chain
    with step(Step.CHAIN_DOWNLOADED):
        chains = await tools.ca.download(order, alternates=bool(preferred))
    chain, found = tools.certificates.choose(chains, preferred)
    if preferred and not found:
        tools.progress.note(f"{work.order.name}: no chain from the CA matches {preferred!r}; its default is used")
    findings = tools.certificates.check(chain, work.order.csr, work.identifiers, tools.clock.now())
    return chain, [finding for finding in findings if finding.code != NOT_YET_VALID]


async def _store(work: Work, chain: Chain) -> Generation:
    tools, row = work.tools, work.order
    facts = tools.certificates.facts(chain.leaf)
    before = await tools.ledger.newest_generation(row.name)
    now = tools.clock.now()
    generation = Generation(
        name=row.name,
        number=before.number + 1 if before else 1,
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
    await tools.ledger.commit(work.claim, Step.GENERATION_STORED, done, generation, wish, events=[event])
    work.order = done
    await tools.ledger.clear_scopes(_touched(work))
    return generation


def _touched(work: Work) -> list[Scope]:
    whole = [work.scope(kind) for kind in (ScopeKind.ISSUER, ScopeKind.ACCOUNT, ScopeKind.SET)]
    return [*whole, *(work.scope(ScopeKind.IDENTIFIER, identifier) for identifier in work.identifiers)]
