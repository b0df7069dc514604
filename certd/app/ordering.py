"""The conversation with the CA in which a certificate is ordered: listeners, account, workflow."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from certd.account.ensure import ensure_account, register_again
from certd.app.account import account_wish
from certd.app.advice import Remembered, with_advice
from certd.app.certificates import X509
from certd.app.dev import reachable
from certd.app.export import StateFiles
from certd.app.house import Conversations, House, new_id
from certd.app.methods import Methods, open_methods
from certd.app.request import IssueRequest
from certd.app.wish import Wish
from certd.ca.client import AcmeClient
from certd.issue.issue import issue
from certd.issue.order import does_not_fit, key_of
from certd.issue.ports import Account, Patience, Progress, Publishers, Tools
from certd.listen.own_addresses import own_addresses
from certd.model.errors import CaRefused, ChallengeFailed
from certd.model.findings import Finding
from certd.model.problems import Reaction
from certd.model.records import AccountRecord, Generation, Renewal

#: Told of the CA once it has answered: its clock is known then.
Met = Callable[[AcmeClient], None]
#: Asked after that; false: by the CA's clock there is nothing to order.
StillDue = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Ordering:
    """One certificate to be ordered."""

    request: IssueRequest
    wish: Wish
    house: House
    progress: Progress
    met: Met


async def order(ordering: Ordering, finding: Finding, still_due: StillDue | None) -> tuple[Generation, Renewal] | None:
    """Bring the certificate to a new generation; None if by the CA's clock, where that is asked, nothing is due.

    Raises what `certd.issue.issue` raises, and ListenError, ConfigError and PolicyRefused before anything is ordered.
    """
    wish, house = ordering.wish, ordering.house
    allowed = () if await _only_downloads(ordering) else wish.allowed
    async with AsyncExitStack() as stack:
        methods = await open_methods(wish.challenge, allowed, house, stack, ordering.progress)
        running = reachable(wish.issuer, house.place, wish.challenge, methods.listeners)
        issuer = await stack.enter_async_context(running)
        account_wanted = account_wish(house, issuer, ordering.request.account)
        conversations = Conversations(house, issuer, stack)
        accounts = house.account_tools(issuer, conversations.converse)
        account = await ensure_account(accounts, account_wanted)
        talk = _Talk(ordering, conversations, methods, finding, still_due)
        try:
            return await talk.as_account(account)
        except CaRefused as refusal:
            if refusal.problem.reaction is not Reaction.REPAIR:
                raise
            ordering.progress.note(f"{issuer.title}: {refusal.problem}; looking the account up by its key")
        return await talk.as_account(await register_again(accounts, account_wanted, account))


async def _only_downloads(ordering: Ordering) -> bool:
    """Whether an order is paid for, and still what is wanted: no port need be free then."""
    ledger, desired = ordering.house.ledger, ordering.wish.desired
    row = await ledger.open_order(desired.name)
    if row is None or not row.state.is_paid:
        return False
    return does_not_fit(row, await key_of(ledger, row), desired, row.account_id) is None


@dataclass(frozen=True, slots=True)
class _Talk:
    ordering: Ordering
    conversations: Conversations
    methods: Methods
    finding: Finding
    still_due: StillDue | None

    async def as_account(self, account: AccountRecord) -> tuple[Generation, Renewal] | None:
        house, desired = self.ordering.house, self.ordering.wish.desired
        key = await house.keys.open(await house.ledger.key(account.key_id))
        async with self.conversations.converse(key, account.url) as ca:
            if self.still_due is not None:
                await ca.meet()
                self.ordering.met(ca)
                if not self.still_due():
                    return None
            progress = Remembered(self.ordering.progress)
            tools = issuing_tools(house, ca, account, self.methods.table, progress)
            try:
                return await issue(tools, desired, self.finding, by_person=True)
            except ChallengeFailed as failure:
                webroot = self.ordering.wish.challenge.webroot
                raise with_advice(failure, progress.types, own_addresses(), webroot) from failure
            finally:
                self.ordering.met(ca)


def issuing_tools(
    house: House, ca: AcmeClient, account: AccountRecord, publishers: Publishers, progress: Progress
) -> Tools:
    """What issuing for *account* works with; many issuances at once may share it."""
    return Tools(
        ca=ca,
        account=Account(account.id, account.url),
        ledger=house.ledger,
        keys=house.keys,
        certificates=X509(),
        publishers=publishers,
        files=StateFiles(house),
        clock=house.clock,
        random=house.random,
        progress=progress,
        patience=Patience(),
        new_id=new_id,
    )
