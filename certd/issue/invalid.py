"""An order that the CA has made invalid: which names failed, whose fault it was, and what is left to be ended."""

import contextlib
from collections.abc import Sequence

from certd.issue.ending import OrderLost, lost
from certd.issue.failures import refused, validation_failed
from certd.issue.work import Work, each
from certd.model.acme import Authorization, AuthorizationStatus, Order
from certd.model.errors import CaRefused, CertdError, ChallengeFailed
from certd.model.identifiers import Identifier
from certd.model.problems import Problem
from certd.model.records import ScopeKind
from certd.plan.admission import FAILED_VALIDATIONS, FAILED_VALIDATIONS_WITHIN, failures_left
from certd.plan.scopes import Stage


async def became_invalid(work: Work, order: Order) -> CertdError | OrderLost:
    """End an order that became invalid in this run; returns what to raise."""
    found: Sequence[Authorization] = ()
    with contextlib.suppress(CaRefused):  # some CAs forget the authorizations of such an order
        urls = order.authorizations or await _journalled(work)
        found = await each(urls, work.tools.ca.fetch_authorization)
    return await _ended(work, order, found)


async def _journalled(work: Work) -> Sequence[str]:
    """The order's authorizations as far as there are proofs for them: OpenBao's invalid orders name none any more."""
    return tuple({row.authorization_url: None for row in await work.tools.ledger.proofs(work.order.id)})


async def failed_before(work: Work, order: Order, found: Sequence[Authorization] | None = None) -> OrderLost:
    """End an order that failed before this run could do anything for it: the run that is to blame is dead.

    Its failed validations count like all others (invariant 4): the CA has counted them, too.
    """
    why = await (became_invalid(work, order) if found is None else _ended(work, order, found))
    return why if isinstance(why, OrderLost) else OrderLost(why)


async def _ended(work: Work, order: Order, found: Sequence[Authorization]) -> CertdError | OrderLost:
    failed = [(a.identifier, a.problem or Problem(detail="no reason given")) for a in found if _has_failed(a)]
    pending = [a.url for a in found if not a.status.is_final]
    if failed:
        return await said_no(work, failed, pending)
    if order.error is not None:
        refusal = CaRefused("the order became invalid", order.error)
        return await refused(work, refusal, Stage.FINALIZE, pending=pending, keep=False)
    over = (a for a in found if a.status.is_final and a.status is not AuthorizationStatus.VALID)
    texts = (f"the authorization of {a.identifier} is {a.status.value}" for a in over)
    return await lost(work, next(texts, "the CA made the order invalid, and does not say why"), pending)


async def said_no(work: Work, failed: Sequence[tuple[Identifier, Problem]], pending: Sequence[str]) -> ChallengeFailed:
    """Record what the CA said of each failed name, and end the order; returns what to raise."""
    for identifier, _ in failed:
        work.tools.progress.failed(identifier)
    error = await _explain(work, failed)
    await validation_failed(work, failed, error, pending)
    return error


def _has_failed(authorization: Authorization) -> bool:
    return authorization.status is AuthorizationStatus.INVALID


async def _explain(work: Work, failed: Sequence[tuple[Identifier, Problem]]) -> ChallengeFailed:
    """What the CA said of each, verbatim, and how often it may be said again; the wildcard's name is its base."""
    now = work.tools.clock.now()
    lines = []
    for identifier, problem in failed:
        earlier = await work.tools.ledger.failures(
            work.scope(ScopeKind.IDENTIFIER, identifier), now - FAILED_VALIDATIONS_WITHIN
        )
        these = sum(other.base == identifier.base for other, _ in failed)
        left = max(0, failures_left(earlier, now) - these)
        lines.append(f"{identifier}: {problem}")
        lines.append(f"  {left} of {FAILED_VALIDATIONS} failed validations left for this name this hour")
    lines[-1] = f"  nothing was changed; {lines[-1].strip()}"
    return ChallengeFailed("\n".join(lines), failed=failed)
