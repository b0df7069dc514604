"""Proofs in the journal and in the world: journalled before they are published, withdrawn by state (invariant 5).

Withdrawal is not in any `finally`: at SIGTERM a validation may be running, and a proof taken away in the middle of it
is a failed validation. It begins with a fenced write, so that a process that lost its claim withdraws nothing.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from certd.issue.ports import Ledger, Publisher, Publishers
from certd.issue.work import Work, each
from certd.model.errors import CertdError
from certd.model.proofs import Proof, ProofId, ProofRecord, ProofState
from certd.model.records import Claim, OrderState
from certd.model.steps import Step, step


async def publish(work: Work, wanted: Sequence[tuple[str, Publisher, Proof]]) -> None:
    """Journal and publish (authorization URL, publisher, proof), and return once the CA's checks can succeed (R42)."""
    now = work.tools.clock.now()
    work.may_have_proofs = True
    rows = [
        ProofRecord(
            id=proof_id(work.order.id, url, publisher, proof),
            order_id=work.order.id,
            authorization_url=url,
            proof=proof,
            method=publisher.method,
            options=publisher.options,
            state=ProofState.JOURNALLED,
            created_at=now,
        )
        for url, publisher, proof in wanted
    ]
    await work.tools.ledger.commit(work.claim, Step.PROOFS_JOURNALLED, *rows)

    async def bring_out(group: tuple[Publisher, list[Proof]]) -> None:
        publisher, proofs = group
        with step(Step.PROOFS_PUBLISHED):
            await publisher.publish(proofs)
        await publisher.wait_until_visible(proofs)

    await each(_by_publisher((publisher, proof) for _, publisher, proof in wanted), bring_out)


def proof_id(order_id: str, authorization_url: str, publisher: Publisher, proof: Proof) -> ProofId:
    """The same proof by the same publisher has one row, however often a crash makes us journal it.

    By another publisher, or by one with other options, it is another thing in the world, to be withdrawn by itself.
    """
    words = (order_id, authorization_url, publisher.method, publisher.options)
    text = "\0".join((*words, proof.type.value, proof.name, proof.value))
    return ProofId(hashlib.sha256(text.encode()).hexdigest()[:32])


async def withdraw_all(work: Work) -> None:
    """Withdraw the order's proofs: its authorizations are all final, or it is dead (and nobody looks any more).

    Safe to repeat, and costs nothing then.
    """
    if not work.may_have_proofs:
        return
    tools, lives = work.tools, work.order.state is not OrderState.DEAD
    rows = await tools.ledger.proofs(work.order.id)
    failures = await withdraw(tools.ledger, tools.publishers, work.claim, rows, tools.clock.now(), linger=lives)
    for failure in failures:
        tools.progress.note(f"{failure}; it stays in the journal and is withdrawn at the next run")
    work.may_have_proofs = bool(failures)


async def withdraw(
    ledger: Ledger,
    publishers: Publishers,
    claim: Claim | None,
    rows: Sequence[ProofRecord],
    now: datetime,
    *,
    linger: bool = False,
) -> list[CertdError]:
    """Fence, withdraw, record; what could not be withdrawn stays in the journal for the next sweep, and is returned.

    *linger*: what its publisher lets stay for a while is fenced only, and withdrawn by the first sweep after its time.
    """
    groups, failures = _by_method(publishers, [row for row in rows if _is_due(row, now)])
    gone = [row for publisher, group in groups if publisher.is_the_journal for row in group]
    loud = [
        (publisher, [_fenced(row, now + publisher.lingers if linger else now) for row in group])
        for publisher, group in groups
        if not publisher.is_the_journal
    ]
    if loud:
        await ledger.commit(claim, Step.WITHDRAWAL_FENCED, *(row for _, group in loud for row in group))
    for publisher, fenced in loud:
        if not (group := [row for row in fenced if _is_due(row, now)]):
            continue
        try:
            with step(Step.PROOFS_WITHDRAWN):
                await publisher.withdraw([row.proof for row in group])
        except CertdError as failure:
            failures.append(failure)
        else:
            gone.extend(group)
    if gone:
        await ledger.commit(claim, Step.WITHDRAWAL_STORED, *(replace(row, state=ProofState.WITHDRAWN) for row in gone))
    return failures


def _fenced(row: ProofRecord, withdraw_at: datetime) -> ProofRecord:
    return replace(row, state=ProofState.WITHDRAWING, withdraw_at=row.withdraw_at or withdraw_at)


def _is_due(row: ProofRecord, now: datetime) -> bool:
    return row.withdraw_at is None or row.withdraw_at <= now


def _by_publisher(pairs: Iterable[tuple[Publisher, Proof]]) -> list[tuple[Publisher, list[Proof]]]:
    groups: dict[tuple[str, str], tuple[Publisher, list[Proof]]] = {}
    for publisher, proof in pairs:
        groups.setdefault((publisher.method, publisher.options), (publisher, []))[1].append(proof)
    return list(groups.values())


def _by_method(
    publishers: Publishers, rows: Iterable[ProofRecord]
) -> tuple[list[tuple[Publisher, list[ProofRecord]]], list[CertdError]]:
    """Rows with the publisher that their own words find again; a provider that is gone is a failure, not a crash."""
    by_words: dict[tuple[str, str], list[ProofRecord]] = defaultdict(list)
    for row in rows:
        by_words[row.method, row.options].append(row)
    groups: list[tuple[Publisher, list[ProofRecord]]] = []
    failures: list[CertdError] = []
    for (method, options), group in by_words.items():
        try:
            groups.append((publishers.by_method(method, options), group))
        except CertdError as failure:
            failures.append(failure)
    return groups, failures
