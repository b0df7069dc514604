"""`certd issue` when something is due, or may be: opens the house, lets the workflow work, copies, reloads."""

import random as random_
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from certd.account.ensure import check_terms, ensure_account, register_again
from certd.app.account import account_wish
from certd.app.certificates import X509
from certd.app.dev import reachable
from certd.app.export import StateFiles, check_out, copy_out
from certd.app.house import Conversations, House, new_id, open_house
from certd.app.issuers import Issuer, title_of
from certd.app.methods import Methods, check_methods, open_methods, reopen_only
from certd.app.prune import prune_if_due
from certd.app.reload import parse_command, reload_server
from certd.app.request import IssueRequest, Wish, read_request
from certd.app.result import CHECKED, ISSUED, UP_TO_DATE, IssueResult
from certd.ca.client import AcmeClient
from certd.ca.directory import offered_profiles
from certd.issue.issue import issue
from certd.issue.ports import Account, Patience, Progress, Publishers, Tools
from certd.issue.proofs import withdraw
from certd.issue.renewal import refresh_renewal
from certd.ledger.ledger import Ledger
from certd.listen.listeners import Listeners
from certd.model.clock import Clock
from certd.model.errors import CaRefused, ConfigError
from certd.model.findings import Finding
from certd.model.keys import KeyType
from certd.model.problems import Reaction
from certd.model.records import AccountRecord, Generation, Renewal
from certd.plan.due import Snapshot, first_finding


@dataclass(frozen=True, slots=True)
class _Run:
    """One `certd issue` under way."""

    request: IssueRequest
    wish: Wish
    house: House
    progress: Progress


async def run_issue(request: IssueRequest, progress: Progress, clock: Clock | None = None) -> IssueResult:
    """Issue, renew, repair or sweep: whatever brings the request's certificate to where it should be.

    Raises every CertdError; the ledger has what the next run needs.
    """
    wish = read_request(request)
    check_methods(wish.challenge)
    parse_command(request.reload)
    check_out(request.out)
    async with _house(request, clock) as house:
        run = _Run(request, wish, house, progress)
        if request.dry_run:
            return await _check_only(run)
        await _sweep(run)
        result = await _bring_up_to_date(run)
        await prune_if_due(house)
        return result


@asynccontextmanager
async def _house(request: IssueRequest, clock: Clock | None) -> AsyncIterator[House]:
    """The state directory; for a dry run where there is none yet, one that is thrown away."""
    if request.dry_run and not (request.state_dir / "ledger.sqlite").exists():
        with tempfile.TemporaryDirectory(prefix="certd-dry-run-") as folder:
            async with open_house(Path(folder), wait=request.wait, clock=clock) as house:
                yield house
        return
    async with open_house(request.state_dir, wait=request.wait, clock=clock) as house:
        yield house


async def _sweep(run: _Run) -> None:
    """Withdraw what orders that are over have left in the world (invariant 5)."""
    rows = await run.house.ledger.stray_proofs()
    if not rows:
        return
    async with AsyncExitStack() as stack:
        publishers = reopen_only(run.house, stack, run.progress)
        for failure in await withdraw(run.house.ledger, publishers, None, rows):
            run.progress.note(f"{failure}; it stays in the journal and is withdrawn at the next run")


async def _bring_up_to_date(run: _Run) -> IssueResult:
    ledger, name = run.house.ledger, run.wish.desired.name
    generation = await ledger.newest_generation(name)
    renewal = await _fresh_renewal(run, generation) if generation is not None else None
    finding = _finding(run, generation, renewal)
    if finding is None and await ledger.open_order(name) is not None:
        finding = Finding("resumed", "an order was under way")
    if finding is not None:
        if generation is not None:
            run.progress.note(f"{name}: {finding.message}")
        generation, renewal = await _issue(run, finding)
    elif generation is not None:
        await StateFiles(run.house).write(generation)
    if generation is None:
        raise AssertionError("no certificate, and no reason to issue one")
    out = await copy_out(run.request.out, StateFiles(run.house), generation)
    shown = out or run.house.place.live(name)
    await reload_server(run.request.reload, run.house, generation, shown)
    return IssueResult(
        status=UP_TO_DATE if finding is None else ISSUED,
        name=name,
        issuer=title_of(run.wish.issuer.id),
        names=tuple(map(str, run.wish.desired.identifiers)),
        now=run.house.clock.now(),
        finding=finding.message if finding is not None else "",
        generation=generation,
        renewal=renewal,
        live=run.house.place.live(name),
        out=out,
    )


def _finding(run: _Run, generation: Generation | None, renewal: Renewal | None) -> Finding | None:
    found = first_finding(Snapshot(run.wish.desired, generation, renewal), run.house.clock.now())
    if found is None and run.request.force:
        return Finding("forced", "asked for by --force")
    return found


async def _fresh_renewal(run: _Run, generation: Generation) -> Renewal | None:
    """The stored moment, after asking the CA again where its time has come (RFC 9773 §4.3.2)."""
    house = run.house
    renewal = await house.ledger.renewal(generation.name, generation.number)
    is_due = renewal is None or (renewal.next_fetch_at is not None and renewal.next_fetch_at <= house.clock.now())
    if not is_due or generation.issuer != run.wish.issuer.id or run.request.force:
        return renewal
    # renewalInfo is asked without a signature, so any key will do; the account need not be known.
    key = await house.keys.open(await house.keys.generate(KeyType.EC256))
    async with _reachable(run) as issuer, house.converse(issuer, key, None) as ca:
        return await refresh_renewal(_Asking(ca, house.ledger, house.clock, house.random), generation)


@dataclass(frozen=True, slots=True)
class _Asking:
    """What asking for a renewal window needs (`certd.issue.renewal.Asker`)."""

    ca: AcmeClient
    ledger: Ledger
    clock: Clock
    random: random_.Random


async def _issue(run: _Run, finding: Finding) -> tuple[Generation, Renewal]:
    house, desired = run.house, run.wish.desired
    order = await house.ledger.open_order(desired.name)
    # A paid order is only downloaded: no port need be free for that.
    allowed = () if order is not None and order.state.is_paid else run.wish.allowed
    async with AsyncExitStack() as stack:
        methods = await open_methods(run.wish.challenge, allowed, house, stack, run.progress)
        issuer = await stack.enter_async_context(_reachable(run, methods.listeners))
        wish = account_wish(house, issuer, run.request.account)
        conversations = Conversations(house, issuer, stack)
        accounts = house.account_tools(issuer, conversations.converse)
        account = await ensure_account(accounts, wish)
        try:
            return await _issue_as(run, conversations, account, methods, finding)
        except CaRefused as refusal:
            if refusal.problem.reaction is not Reaction.REPAIR:
                raise
            run.progress.note(f"{issuer.title}: {refusal.problem}; looking the account up by its key")
        account = await register_again(accounts, wish, account)
        return await _issue_as(run, conversations, account, methods, finding)


async def _issue_as(
    run: _Run, conversations: Conversations, account: AccountRecord, methods: Methods, finding: Finding
) -> tuple[Generation, Renewal]:
    house = run.house
    key = await house.keys.open(await house.ledger.key(account.key_id))
    async with conversations.converse(key, account.url) as ca:
        tools = issuing_tools(house, ca, account, methods.table, run.progress)
        return await issue(tools, run.wish.desired, finding, by_person=True)


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


def _reachable(run: _Run, listeners: Listeners | None = None) -> AbstractAsyncContextManager[Issuer]:
    return reachable(run.wish.issuer, run.house.place, run.wish.challenge, listeners)


async def _check_only(run: _Run) -> IssueResult:
    """`--dry-run`: ports, provider, CA, account options and profile; no order, no account, no file."""
    house, desired = run.house, run.wish.desired
    generation = await house.ledger.newest_generation(desired.name)
    renewal = await house.ledger.renewal(desired.name, generation.number) if generation else None
    finding = _finding(run, generation, renewal)
    async with AsyncExitStack() as stack:
        methods = await open_methods(run.wish.challenge, run.wish.allowed, house, stack, run.progress)
        issuer = await stack.enter_async_context(_reachable(run, methods.listeners))
        wish = account_wish(house, issuer, run.request.account)
        key = await house.keys.open(await house.keys.generate(KeyType.EC256))
        ca = await stack.enter_async_context(house.converse(issuer, key, None))
        directory = await ca.directory()
        if not await house.ledger.accounts(issuer.id):
            check_terms(directory, wish)
        if desired.profile and desired.profile not in (directory.profiles or {}):
            raise ConfigError(f"profile {desired.profile!r}: {issuer.title} offers {offered_profiles(directory)}")
    return IssueResult(
        status=CHECKED,
        name=desired.name,
        issuer=title_of(issuer.id),
        names=tuple(map(str, desired.identifiers)),
        now=house.clock.now(),
        finding=finding.message if finding is not None else "",
        generation=generation,
        renewal=renewal,
    )
