"""What a refusal leaves in the ledger: whose failure it was, how long that scope waits, and the end of the order."""

from collections.abc import Sequence
from dataclasses import replace

from certd.issue.ports import Tools
from certd.issue.work import Work
from certd.model.errors import CaRefused, CertdError, TryLater
from certd.model.events import IssuanceFailed
from certd.model.identifiers import Identifier
from certd.model.problems import Problem, Reaction
from certd.model.records import FailureRecord, OrderState, Scope, ScopeKind, ScopeRecord
from certd.model.steps import Step
from certd.plan.scopes import Stage, after_failure, scope_kind


async def refused(work: Work, refusal: CaRefused, stage: Stage) -> CertdError:
    """Record a refused request and end its order; the error to raise, TryLater where the CA named a moment."""
    problem = refusal.problem
    named: list[tuple[Identifier | None, Problem]] = [(p.identifier, p) for p in problem.subproblems if p.identifier]
    named = named or [(problem.identifier, problem)]
    rows = [await _scope_row(work, p, stage, identifier) for identifier, p in named]
    await _end_order(work, str(refusal), rows, [])
    return _as_error(work, refusal, named)


async def validation_failed(work: Work, failed: Sequence[tuple[Identifier, Problem]], error: CertdError) -> None:
    """Record failed validations, each with its identifier, and end the order."""
    now = work.tools.clock.now()
    rows = [await _scope_row(work, problem, Stage.VALIDATION, identifier) for identifier, problem in failed]
    log = [
        FailureRecord(work.scope(ScopeKind.IDENTIFIER, identifier), now, problem.kind, problem.detail)
        for identifier, problem in failed
    ]
    await _end_order(work, str(error), rows, log)


async def outage(tools: Tools, scope: Scope, problem: str, detail: str) -> None:
    """Record that the CA or a provider could not be worked with; the order, if there is one, stays open."""
    row = after_failure(
        scope,
        await tools.ledger.scope(scope),
        problem=problem,
        detail=detail,
        now=tools.clock.now(),
        retry_after=None,
        rng=tools.random,
    )
    await tools.ledger.commit(None, Step.FAILURE_STORED, row)


async def _end_order(work: Work, why: str, scopes: Sequence[ScopeRecord], failures: Sequence[FailureRecord]) -> None:
    row = work.order
    dead = replace(row, state=OrderState.DEAD, ended_because=why)
    event = IssuanceFailed(row.name, row.issuer, why, work.reason)
    await work.tools.ledger.commit(work.claim, Step.FAILURE_STORED, dead, *scopes, *failures, events=[event])
    work.order = dead


async def _scope_row(work: Work, problem: Problem, stage: Stage, identifier: Identifier | None) -> ScopeRecord:
    kind = scope_kind(problem.kind, stage)
    if kind is ScopeKind.IDENTIFIER and identifier is None:
        kind = ScopeKind.SET
    scope = work.scope(kind, identifier)
    return after_failure(
        scope,
        await work.tools.ledger.scope(scope),
        problem=problem.kind,
        detail=problem.detail,
        now=work.tools.clock.now(),
        retry_after=problem.retry_after,
        rng=work.tools.random,
    )


def _as_error(work: Work, refusal: CaRefused, named: Sequence[tuple[Identifier | None, Problem]]) -> CertdError:
    problem = refusal.problem
    name = work.order.name
    if problem.retry_after is not None and problem.reaction is Reaction.LATER:
        return TryLater(f"{name}: {refusal}", until=problem.retry_after, hint=_more(problem))
    lines = [f"{identifier or name}: {refusal.attempted}: {p}" for identifier, p in named]
    return CaRefused(refusal.attempted, problem, message="\n".join(lines), hint=refusal.hint or _more(problem))


def _more(problem: Problem) -> str:
    return f"the CA says more at {problem.help_url}" if problem.help_url else ""
