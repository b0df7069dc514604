"""When a generation will be due: asked of the CA right after issuance, drawn once, stored (RFC 9773 §4.2, §4.3)."""

import random
from datetime import datetime, timedelta
from typing import Protocol

from certd.issue.ports import Ledger
from certd.model.acme import Ca, RenewalInfo
from certd.model.clock import Clock
from certd.model.errors import CaError
from certd.model.records import Generation, Renewal
from certd.model.steps import Step
from certd.plan.due import draw_renewal

#: RFC 9773 §4.3.3: after a long-term error "clients SHOULD … retry after six hours".
AFTER_ERROR = timedelta(hours=6)


class Asker(Protocol):
    """What is needed of the tools."""

    @property
    def ca(self) -> Ca: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def random(self) -> random.Random: ...


async def refresh_renewal(tools: Asker, generation: Generation) -> Renewal:
    """Ask the CA for its window, draw in it unless it is the one drawn in already, and store both.

    Never raises for the CA's sake: without an answer the last window stays, or a synthesised one is drawn.
    """
    info, next_fetch_at = await _ask(tools, generation)
    previous = await tools.ledger.renewal(generation.name, generation.number)
    renewal = draw_renewal(generation, info, previous, tools.random, next_fetch_at)
    await tools.ledger.commit(None, Step.WINDOW_STORED, renewal)
    return renewal


async def _ask(tools: Asker, generation: Generation) -> tuple[RenewalInfo | None, datetime | None]:
    now = tools.clock.now()
    if generation.cert_id is None or now >= generation.not_after:
        return None, None
    try:
        if not (await tools.ca.directory()).renewal_info:
            return None, None
        info = await tools.ca.renewal_info(generation.cert_id)
    except CaError:
        return None, now + AFTER_ERROR
    return info, info.retry_after
