"""From a pending order to a ready one: every authorization fetched, proven, answered; then the *order* is polled.

Polling the order once instead of each authorization is what keeps 100 names at some 205 requests: RFC 8555 §7.1.6 makes
an order ready when all its authorizations are valid, and invalid as soon as one is.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from certd.issue.ending import abandon
from certd.issue.failures import refused
from certd.issue.invalid import became_invalid, failed_before, said_no
from certd.issue.polling import poll_order
from certd.issue.ports import Publisher
from certd.issue.proofs import publish, withdraw_all
from certd.issue.work import Work, each
from certd.model.acme import Authorization, AuthorizationStatus, Challenge, ChallengeStatus, Order, OrderStatus
from certd.model.clock import deadline
from certd.model.errors import (
    CaContradiction,
    CaRefused,
    CertdError,
    ConfigError,
    ListenError,
    ProviderError,
    TryLater,
)
from certd.model.proofs import Proof
from certd.model.steps import Step, step
from certd.plan.challenges import choose
from certd.plan.scopes import Stage

#: A DNS provider finds the zone of each name, one answer after another.
LOOKUPS_AT_ONCE = 20

#: Where it can be seen, the CA's question is waited for this long before the first poll (R37).
SEEN_WITHIN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class _Task:
    authorization: Authorization
    challenge: Challenge
    publisher: Publisher
    proof: Proof


class _Refused(Exception):
    """The CA refused the answer to one challenge."""

    def __init__(self, task: _Task, refusal: CaRefused) -> None:
        super().__init__(str(refusal))
        self.task, self.refusal = task, refusal


async def authorize(work: Work, order: Order) -> Order:
    """Prove control of every identifier of a pending order.

    Raises ChallengeFailed with what the validator said of each failed name, ConfigError, ListenError, ProviderError,
    CaError; OrderLost when the order came to its end before this run. Where the order is dead then, it is withdrawn.
    """
    found = await _fetch_authorizations(work, order)
    if any(a.status.is_final and a.status is not AuthorizationStatus.VALID for a in found):
        raise await failed_before(work, order, found)
    tasks = await _publish(work, [a for a in found if a.status is AuthorizationStatus.PENDING])
    answered = await _answer_all(work, tasks)
    if any(_has_said_no(challenge) for challenge in answered):
        failed = [(t.proof.identifier, c.error) for t, c in zip(tasks, answered, strict=True) if c.error is not None]
        raise await said_no(work, failed, [t.authorization.url for t in tasks])
    await _wait_until_asked(work, tasks)
    not_before = max((c.retry_after for c in answered if c.retry_after is not None), default=None)
    patience = work.tools.patience.validation
    order = await poll_order(work, order, while_=OrderStatus.PENDING, limit=patience, not_before=not_before)
    if order.status is OrderStatus.INVALID:
        raise await became_invalid(work, order)
    work.tools.progress.valid({a.identifier: None for a in found} | {t.proof.identifier: t.proof.type for t in tasks})
    return order


async def _fetch_authorizations(work: Work, order: Order) -> list[Authorization]:
    try:
        found = await each(order.authorizations, work.tools.ca.fetch_authorization)
    except CaRefused as refusal:
        raise await refused(work, refusal, Stage.ORDER, pending=order.authorizations[:1]) from refusal
    # By identifier, never by position: CAs shuffle (R20, RFC 8555 §7.4).
    if {a.identifier for a in found} != set(work.identifiers):
        names = ", ".join(sorted({str(a.identifier) for a in found}))
        raise CaContradiction(f"{work.order.name}: the CA's authorizations are for other names: {names}")
    return found


async def _publish(work: Work, pending: Sequence[Authorization]) -> list[_Task]:
    """Journal and publish the proofs of *pending*, and return once the CA's checks can succeed."""
    try:
        tasks = await each(pending, lambda authorization: _prepare(work, authorization), at_once=LOOKUPS_AT_ONCE)
        if tasks:
            await publish(work, [(t.authorization.url, t.publisher, t.proof) for t in tasks])
    except (ConfigError, ListenError, ProviderError, TryLater) as failure:
        await _take_back(work, pending, failure)
        raise
    return tasks


async def _take_back(work: Work, pending: Sequence[Authorization], failure: CertdError) -> None:
    """Leave nothing behind that cannot be used: no proof that nobody will look at, no order for nobody (R38)."""
    if isinstance(failure, TryLater) or (isinstance(failure, ProviderError) and failure.retry):
        if not any(_is_running(challenge) for a in pending for challenge in a.challenges):
            await withdraw_all(work)
        return
    await abandon(work, str(failure), pending=[a.url for a in pending])


def _is_running(challenge: Challenge) -> bool:
    """An earlier process has answered it: its proof may be looked at in this moment."""
    return challenge.status in {ChallengeStatus.PROCESSING, ChallengeStatus.UNKNOWN}


async def _prepare(work: Work, authorization: Authorization) -> _Task:
    challenge = choose(authorization, work.tools.publishers.allowed)
    publisher = work.tools.publishers.by_type(challenge.type)
    key_authorization = work.tools.ca.key_authorization(challenge.token)
    proof = await publisher.prove(authorization.identifier, key_authorization)
    return _Task(authorization, challenge, publisher, proof)


async def _answer_all(work: Work, tasks: Sequence[_Task]) -> Sequence[Challenge]:
    """Tell the CA that each proof is there; its replies.

    R36: "If the client receives an HTTP error in response, it SHOULD undo any actions that have been taken": the order
    ends, whatever the error, and with it the proofs of all its names.
    """
    try:
        with step(Step.CHALLENGES_ANSWERED):
            return await each(tasks, lambda task: _answer(work, task))
    except _Refused as failure:
        identifier, pending = failure.task.proof.identifier, [t.authorization.url for t in tasks]
        error = await refused(work, failure.refusal, Stage.VALIDATION, identifier=identifier, pending=pending)
        raise error from failure.refusal


def _has_said_no(challenge: Challenge) -> bool:
    """The CA has looked already, and looks again only when it is answered again (§8.2; step-ca does so)."""
    return challenge.status is ChallengeStatus.PENDING and challenge.error is not None


async def _answer(work: Work, task: _Task) -> Challenge:
    work.tools.progress.validating(task.proof.identifier, task.proof.type)
    if task.challenge.status is not ChallengeStatus.PENDING:
        return task.challenge  # an earlier process has answered: the validation is running or done
    try:
        return await work.tools.ca.answer(task.challenge)
    except CaRefused as refusal:
        if await _was_answered(work, task):
            return task.challenge
        raise _Refused(task, refusal) from refusal


async def _was_answered(work: Work, task: _Task) -> bool:
    """An answer whose reply was lost is sent again, and CAs refuse a second one when the first has done its work."""
    try:
        now = await work.tools.ca.fetch_authorization(task.authorization.url)
    except CaRefused:
        return False
    known = {challenge.url: challenge.status for challenge in now.challenges}
    return now.status is not AuthorizationStatus.PENDING or known.get(task.challenge.url) is ChallengeStatus.PROCESSING


async def _wait_until_asked(work: Work, tasks: Sequence[_Task]) -> None:
    """R37: no poll before the CA was seen validating, where that can be seen and for as long as that is likely."""
    with contextlib.suppress(TimeoutError):
        async with deadline(work.tools.clock, SEEN_WITHIN):
            await each(tasks, lambda task: task.publisher.wait_until_asked([task.proof]))
    with step(Step.VALIDATION_SEEN):
        pass
