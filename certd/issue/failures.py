"""What a refusal leaves in the ledger: whose failure it was, how long that scope waits, and whether the order ends."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from certd.issue.ending import OrderLost, end
from certd.issue.ports import Tools
from certd.issue.work import Work
from certd.model.errors import CaRefused, CertdError, TryLater
from certd.model.events import IssuanceFailed
from certd.model.identifiers import Identifier
from certd.model.problems import Problem, Reaction
from certd.model.records import Claim, FailureRecord, Scope, ScopeKind, ScopeRecord
from certd.model.steps import Step
from certd.plan.scopes import Stage, after_failure, scope_kind

#: Refusals that say nothing of the order: it is as good as before, and may even have been finalized.
NOT_THE_ORDERS_FAULT = frozenset({Reaction.LATER, Reaction.POLL, Reaction.REPAIR})

#: Problems with the request's key. badSignatureAlgorithm is not among them: that is the account's (R8).
OF_THE_KEY = frozenset({"badCSR", "badPublicKey"})

#: Scopes whose failures concern many orders.
WIDE = frozenset({ScopeKind.ISSUER, ScopeKind.ACCOUNT})


async def refused(
    work: Work,
    refusal: CaRefused,
    stage: Stage,
    *,
    identifier: Identifier | None = None,
    pending: Iterable[str] = (),
    keep: bool | None = None,
) -> CertdError | OrderLost:
    """Record a refused request, and end its order where that is what was refused; returns what to raise.

    *identifier*: whose request it was, where it was one name's. *pending*: as for `end`. *keep*: whether the order
    lives on, where the problem does not say: it may have been paid for, or be dead at the CA already.
    """
    rows = await _scope_rows(work, refusal.problem, stage, identifier)
    error = _as_error(work, refusal, identifier, rows)
    event = IssuanceFailed(work.order.name, work.order.issuer, str(refusal), work.reason)
    if _lives_on(refusal.problem, stage) if keep is None else keep:
        await work.tools.ledger.commit(work.claim, Step.FAILURE_STORED, *rows, events=[event])
        return error
    await end(work, str(refusal), event, *rows, pending=pending)
    once_more = refusal.problem.reaction is Reaction.NEW_ORDER and work.order.url is not None
    return OrderLost(error) if once_more else error


async def validation_failed(
    work: Work, failed: Sequence[tuple[Identifier, Problem]], error: CertdError, pending: Iterable[str]
) -> None:
    """Record failed validations, each with its identifier, and end the order."""
    now = work.tools.clock.now()
    rows = [await _scope_row(work, problem, Stage.VALIDATION, identifier) for identifier, problem in failed]
    log = [
        FailureRecord(work.scope(ScopeKind.IDENTIFIER, identifier), now, problem.kind, problem.detail)
        for identifier, problem in failed
    ]
    event = IssuanceFailed(work.order.name, work.order.issuer, str(error), work.reason)
    await end(work, str(error), event, *rows, *log, pending=pending)


async def outage(tools: Tools, claim: Claim, scope: Scope, problem: str, why: Exception) -> None:
    """Record that the CA or a provider could not be worked with; the order, if there is one, stays open."""
    row = after_failure(
        scope,
        await tools.ledger.scope(scope),
        problem=problem,
        detail=str(why),
        now=tools.clock.now(),
        retry_after=None,
        rng=tools.random,
    )
    event = IssuanceFailed(claim.name, scope.issuer, str(why), problem)
    await tools.ledger.commit(claim, Step.FAILURE_STORED, row, events=[event])


def is_gone(problem: Problem) -> bool:
    """The CA's word that it does not have what was asked for, or not for this account."""
    return problem.status in {404, 410} or problem.kind == "malformed" or _is_anothers(problem)


def _is_anothers(problem: Problem) -> bool:
    return problem.kind == "unauthorized" and problem.status == 403


def _lives_on(problem: Problem, stage: Stage) -> bool:
    if stage is Stage.VALIDATION:  # its proofs are in the world, and a refused answer undoes them (R36)
        return False
    return problem.reaction in NOT_THE_ORDERS_FAULT or scope_kind(_kind(problem), stage) in WIDE


def _kind(problem: Problem) -> str:
    """A front end's bare 502 is what serverInternal is: the CA's own trouble."""
    return "serverInternal" if problem.type == "about:blank" and problem.status >= 500 else problem.kind


def _named(problem: Problem, identifier: Identifier | None) -> list[tuple[Identifier | None, Problem]]:
    """R16: what is wrong with which name."""
    subproblems: list[tuple[Identifier | None, Problem]] = [
        (p.identifier, p) for p in problem.subproblems if p.identifier
    ]
    return subproblems or [(problem.identifier or identifier, problem)]


async def _scope_rows(work: Work, problem: Problem, stage: Stage, identifier: Identifier | None) -> list[ScopeRecord]:
    moment = problem.retry_after
    return [
        await _scope_row(work, replace(p, retry_after=p.retry_after or moment), stage, name)
        for name, p in _named(problem, identifier)
    ]


async def _scope_row(work: Work, problem: Problem, stage: Stage, identifier: Identifier | None) -> ScopeRecord:
    kind = scope_kind(_kind(problem), stage)
    if kind is ScopeKind.IDENTIFIER and identifier is None:
        kind = ScopeKind.SET
    scope, now = work.scope(kind, identifier), work.tools.clock.now()
    serving = await work.tools.ledger.newest_generation(work.order.name)
    return after_failure(
        scope,
        await work.tools.ledger.scope(scope),
        problem=problem.kind,
        detail=problem.detail,
        now=now,
        retry_after=problem.retry_after,
        rng=work.tools.random,
        left=serving.not_after - now if serving is not None else None,
    )


def _as_error(work: Work, refusal: CaRefused, identifier: Identifier | None, rows: Sequence[ScopeRecord]) -> CertdError:
    """TryLater where waiting is all that helps, and the moment is known: the CA's, or else our schedule's."""
    problem, name = refusal.problem, work.order.name
    hint = refusal.hint or _hint(work, problem)
    busy = _kind(problem) in {"serverInternal", "rateLimited", "orderNotReady"} or problem.status == 429
    if problem.reaction in {Reaction.LATER, Reaction.POLL} and (busy or problem.retry_after is not None):
        until = max((row.blocked_until for row in rows if row.blocked_until is not None), default=problem.retry_after)
        return TryLater(f"{identifier or name}: {refusal}", until=until, hint=hint)
    lines = [f"{who or name}: {refusal.attempted}: {p}" for who, p in _named(problem, identifier)]
    return CaRefused(refusal.attempted, problem, message="\n".join(lines), hint=hint)


def _hint(work: Work, problem: Problem) -> str:
    if problem.help_url:
        return f"the CA says more at {problem.help_url}"
    if problem.kind in OF_THE_KEY:
        return "choose another --key-type" if work.order.key_id is not None else "give another request with --csr"
    return ""
