"""From a pending order to a ready one: every authorization fetched, proven, answered; then the *order* is polled.

Polling the order once instead of each authorization is what keeps 100 names at some 205 requests: RFC 8555 §7.1.6 makes
an order ready when all its authorizations are valid, and invalid as soon as one is.
"""

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from certd.issue.failures import validation_failed
from certd.issue.polling import poll_order
from certd.issue.ports import Publisher
from certd.issue.proofs import publish, withdraw_all
from certd.issue.work import Work, each
from certd.model.acme import Authorization, AuthorizationStatus, Challenge, ChallengeStatus, Order, OrderStatus
from certd.model.clock import deadline
from certd.model.errors import CaProtocolError, CaRefused, ChallengeFailed
from certd.model.identifiers import Identifier
from certd.model.problems import Problem
from certd.model.proofs import Proof
from certd.model.records import ScopeKind
from certd.model.steps import Step, step
from certd.plan.admission import FAILED_VALIDATIONS, FAILED_VALIDATIONS_WITHIN, failures_left
from certd.plan.challenges import choose

#: Where it can be seen, the CA's question is waited for this long before the first poll (R37).
SEEN_WITHIN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class _Task:
    authorization: Authorization
    challenge: Challenge
    publisher: Publisher
    proof: Proof


async def authorize(work: Work, order: Order) -> Order:
    """Prove control of every identifier of a pending order.

    Raises ChallengeFailed with what the validator said of each failed name; the order is dead and withdrawn then.
    """
    found = await each(order.authorizations, work.tools.ca.fetch_authorization)
    _check_authorizations(work, found)
    if broken := [a for a in found if a.status.is_final and a.status is not AuthorizationStatus.VALID]:
        return await _fail(work, order, broken)
    tasks = await each([a for a in found if a.status is AuthorizationStatus.PENDING], lambda a: _prepare(work, a))
    await publish(work, [(t.authorization.url, t.publisher, t.proof) for t in tasks])
    not_before = await _answer_all(work, tasks)
    await _wait_until_asked(work, tasks)
    order = await poll_order(
        work, order, while_=OrderStatus.PENDING, limit=work.tools.patience.validation, not_before=not_before
    )
    if order.status is OrderStatus.INVALID:
        return await _fail(work, order, await each(order.authorizations, work.tools.ca.fetch_authorization))
    work.tools.progress.valid({a.identifier: None for a in found} | {t.proof.identifier: t.proof.type for t in tasks})
    return order


async def _prepare(work: Work, authorization: Authorization) -> _Task:
    challenge = choose(authorization, work.tools.publishers.allowed)
    publisher = work.tools.publishers.by_type(challenge.type)
    key_authorization = work.tools.ca.key_authorization(challenge.token)
    proof = await publisher.prove(authorization.identifier, key_authorization)
    return _Task(authorization, challenge, publisher, proof)


async def _answer_all(work: Work, tasks: list[_Task]) -> datetime | None:
    """Tell the CA that each proof is there; the latest moment before which it does not want to be asked."""

    async def answer(task: _Task) -> Challenge:
        work.tools.progress.validating(task.proof.identifier, task.proof.type)
        if task.challenge.status is not ChallengeStatus.PENDING:
            return task.challenge  # an earlier process has answered: the validation is running or done
        return await work.tools.ca.answer(task.challenge)

    with step(Step.CHALLENGES_ANSWERED):
        answered = await each(tasks, answer)
    return max((c.retry_after for c in answered if c.retry_after is not None), default=None)


async def _wait_until_asked(work: Work, tasks: list[_Task]) -> None:
    """R37: no poll before the CA was seen validating, where that can be seen and for as long as that is likely."""
    with contextlib.suppress(TimeoutError):
        async with deadline(work.tools.clock, SEEN_WITHIN):
            await each(tasks, lambda task: task.publisher.wait_until_asked([task.proof]))
    with step(Step.VALIDATION_SEEN):
        pass


async def _fail(work: Work, order: Order, found: list[Authorization]) -> Order:
    """Record which identifiers failed and why, end what is pending at the CA (R38), withdraw, raise."""
    failed = [(a.identifier, a.problem or _unexplained(a)) for a in found if _has_failed(a)]
    if not failed:
        problem = order.error or Problem(detail="the CA made the order invalid and names no authorization")
        failed = [(work.identifiers[0], problem)]
    for identifier, _ in failed:
        work.tools.progress.failed(identifier)
    error = await _explain(work, failed)
    await validation_failed(work, failed, error)
    await each([a for a in found if not a.status.is_final], lambda a: _deactivate(work, a))
    await withdraw_all(work)
    raise error


def _has_failed(authorization: Authorization) -> bool:
    return authorization.status.is_final and authorization.status is not AuthorizationStatus.VALID


def _unexplained(authorization: Authorization) -> Problem:
    return Problem(detail=f"its authorization is {authorization.status.value}")


async def _deactivate(work: Work, authorization: Authorization) -> None:
    # The CA may end it by itself in this moment.
    with contextlib.suppress(CaRefused), step(Step.AUTHORIZATION_ENDED):
        await work.tools.ca.deactivate_authorization(authorization.url)


async def _explain(work: Work, failed: list[tuple[Identifier, Problem]]) -> ChallengeFailed:
    now = work.tools.clock.now()
    lines = []
    for identifier, problem in failed:
        scope = work.scope(ScopeKind.IDENTIFIER, identifier)
        earlier = await work.tools.ledger.failures(scope, now - FAILED_VALIDATIONS_WITHIN)
        left = max(0, failures_left(earlier, now) - 1)
        lines.append(f"{identifier}: {problem}")
        lines.append(f"  {left} of {FAILED_VALIDATIONS} failed validations left for this name this hour")
    return ChallengeFailed("\n".join(lines), failed=failed, hint="nothing was installed or changed on this host")


def _check_authorizations(work: Work, found: list[Authorization]) -> None:
    """By identifier, never by position: CAs shuffle (R20, RFC 8555 §7.4)."""
    got, wanted = {a.identifier for a in found}, set(work.identifiers)
    if got != wanted:
        names = ", ".join(sorted(map(str, got)))
        raise CaProtocolError(f"{work.order.name}: the CA's authorizations are for other names: {names}")
