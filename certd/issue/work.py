"""One issuance in hand: its tools, its claim, what is wanted, and the order row as last committed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from certd.issue.ports import Tools
from certd.model.desired import Desired
from certd.model.events import Event
from certd.model.identifiers import Identifier
from certd.model.keys import KeyRecord
from certd.model.records import (
    Claim,
    DesiredRecord,
    FailureRecord,
    Generation,
    OrderRecord,
    Scope,
    ScopeKind,
    ScopeRecord,
)
from certd.model.steps import Step

#: What is committed together with the order's row.
Record = DesiredRecord | FailureRecord | Generation | KeyRecord | ScopeRecord

T = TypeVar("T")
R = TypeVar("R")

#: Requests in flight for one order of many names. Each of them takes a nonce out of circulation, and each nonce but the
#: first is asked for: with twenty at once a hundred names would cost a dozen requests more, and be no sooner done.
AT_ONCE = 4


@dataclass(slots=True)
class Work:
    """Mutable in two places: `order` is replaced by `save`, `may_have_proofs` by `certd.issue.proofs`."""

    tools: Tools
    claim: Claim
    desired: Desired
    reason: str
    order: OrderRecord
    before: Generation | None = None  # the newest one; while the claim is held nobody else makes another
    may_have_proofs: bool = True  # an earlier run may have left some

    async def save(self, order: OrderRecord, which: Step, *records: Record, events: Sequence[Event] = ()) -> None:
        await self.tools.ledger.commit(self.claim, which, *records, order, events=events)  # a key before who names it
        self.order = order

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        return self.desired.identifiers

    def scope(self, kind: ScopeKind, identifier: Identifier | None = None) -> Scope:
        """The scope of *kind* that this work touches; *identifier* for those that belong to one name."""
        keys = {
            ScopeKind.ISSUER: self.desired.issuer,
            ScopeKind.ACCOUNT: self.tools.account.url,
            ScopeKind.SET: self.desired.set_key,
            ScopeKind.ZONE: self.desired.set_key,  # which of its zones a provider failed at is not known here
        }
        key = keys.get(kind) or (identifier.base if identifier else self.desired.set_key)
        return Scope(kind, self.desired.issuer, key)


async def each(items: Iterable[T], act: Callable[[T], Awaitable[R]], *, at_once: int = AT_ONCE) -> list[R]:
    """Run *act* on all items, so many at once, results in order; the first failure cancels the rest and is raised."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with gate:
            return await act(item)

    things = list(items)
    if len(things) == 1:
        return [await one(things[0])]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in things]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
