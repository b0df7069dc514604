"""`certd issue` when something is due, or may be: opens the house, lets the workflow work, copies, reloads."""

import random as random_
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from certd.app.ca_clock import skew_note, trusted_skew
from certd.app.certificates import is_for_another_key
from certd.app.checks import check_request
from certd.app.dev import reachable
from certd.app.export import StateFiles, check_out, copy_out
from certd.app.house import House, open_house
from certd.app.issuers import title_of
from certd.app.methods import reopen_only
from certd.app.ordering import Ordering, order
from certd.app.prune import prune_if_due
from certd.app.rehearsal import rehearse
from certd.app.reload import reload_server
from certd.app.request import IssueRequest
from certd.app.result import ISSUED, UP_TO_DATE, IssueResult, notes_on
from certd.app.why import BY_TIME, RESUMED, why
from certd.app.wish import Wish
from certd.ca.client import AcmeClient
from certd.issue.ports import Progress
from certd.issue.proofs import withdraw
from certd.issue.renewal import refresh_renewal
from certd.ledger.ledger import Ledger
from certd.model.clock import Clock
from certd.model.errors import CertdError
from certd.model.findings import Finding
from certd.model.keys import KeyType
from certd.model.records import Generation, Renewal
from certd.plan.due import is_fetch_due


async def run_issue(request: IssueRequest, progress: Progress, clock: Clock | None = None) -> IssueResult:
    """Issue, renew, repair or sweep: whatever brings the request's certificate to where it should be.

    Raises every CertdError; the ledger has what the next run needs.
    """
    wish = check_request(request)
    if request.dry_run:
        return await rehearse(request, wish, progress, clock)
    check_out(request.out.directory, wish.access)
    async with open_house(request.state_dir, wait=request.wait, clock=clock, told=progress.note) as house:
        run = _Run(request, wish, house, progress)
        await run.sweep()
        try:
            result = await run.bring_up_to_date()
        except CertdError:
            for note in run.notes:  # a clock that is off may be why
                progress.note(f"note: {note}")
            raise
        await prune_if_due(house)
        return result


@dataclass(slots=True)
class _Run:
    """One `certd issue` under way. `skew`: of the CA's clock against ours, once it is known and matters."""

    request: IssueRequest
    wish: Wish
    house: House
    progress: Progress
    skew: timedelta = timedelta(0)
    notes: list[str] = field(default_factory=list)

    async def sweep(self) -> None:
        """Withdraw what orders that are over have left in the world (invariant 5)."""
        rows = await self.house.ledger.stray_proofs()
        if not rows:
            return
        async with AsyncExitStack() as stack:
            publishers = reopen_only(self.house, stack, self.progress)
            for failure in await withdraw(self.house.ledger, publishers, None, rows, self.house.clock.now()):
                self.progress.note(f"{failure}; it stays in the journal and is withdrawn at the next run")

    async def bring_up_to_date(self) -> IssueResult:
        ledger, name = self.house.ledger, self.wish.desired.name
        generation = await ledger.newest_generation(name)
        renewal = await self._fresh_renewal(generation) if generation is not None else None
        finding = self._finding(generation, renewal)
        if finding is None and await ledger.open_order(name) is not None:
            finding = RESUMED
        if finding is not None:
            issued = await self._order(finding, generation, renewal)
            generation, renewal = issued or (generation, renewal)
            finding = finding if issued is not None else None
        if generation is None:
            raise AssertionError("no certificate, and no reason to issue one")
        if finding is None:
            await StateFiles(self.house).write(generation)
        return await self._deliver(generation, renewal, finding)

    async def _order(
        self, finding: Finding, generation: Generation | None, renewal: Renewal | None
    ) -> tuple[Generation, Renewal] | None:
        """A new generation; None if by the CA's clock nothing is due."""
        if generation is not None:
            self.progress.note(f"{generation.name}: {finding.message}")

        def still_due() -> bool:
            return self._finding(generation, renewal) is not None

        ordering = Ordering(self.request, self.wish, self.house, self.progress, met=self._learn_time)
        issued = await order(ordering, finding, still_due if finding.code in BY_TIME else None)
        if issued is None:
            self.progress.note(f"{self.wish.desired.name}: nothing is due by the CA's clock, so nothing was ordered")
        return issued

    async def _deliver(self, generation: Generation, renewal: Renewal | None, finding: Finding | None) -> IssueResult:
        """Copies and reload, and what came of it all."""
        house, out, live = self.house, self.request.out.directory, self.house.place.live(generation.name)
        written = await copy_out(out, self.wish.access, StateFiles(house), generation)
        if written and finding is None:
            self.notes.append(f"{generation.name}: written again in {out}: {', '.join(written)}")
        reloaded = await reload_server(self.wish.reload, house, generation, out or live)
        now = house.clock.now()
        return IssueResult(
            status=UP_TO_DATE if finding is None else ISSUED,
            name=generation.name,
            issuer=title_of(self.wish.issuer.id),
            names=tuple(map(str, self.wish.desired.identifiers)),
            now=now,
            finding=finding.message if finding is not None else "",
            generation=generation,
            renewal=renewal,
            live=live,
            out=out,
            reloaded=reloaded,
            notes=(*self.notes, *notes_on(generation, renewal, now)),
        )

    def _finding(self, generation: Generation | None, renewal: Renewal | None) -> Finding | None:
        desired = self.wish.desired
        other = is_for_another_key(desired, generation)
        return why(desired, generation, renewal, self._now(), force=self.request.force, other_csr_key=other)

    def _now(self) -> datetime:
        """By the CA's clock, if that is known to differ: a wrong clock here calls nothing expired or due."""
        return self.house.clock.now() + self.skew

    def _learn_time(self, ca: AcmeClient) -> None:
        skew = trusted_skew(ca.clock_skew)
        if skew and not self.skew:
            self.notes.append(skew_note(self.wish.issuer.title, skew))
        self.skew = skew or self.skew

    async def _fresh_renewal(self, generation: Generation) -> Renewal | None:
        """The stored moment, after asking the CA again where its time has come (RFC 9773 §4.3.2)."""
        house = self.house
        renewal = await house.ledger.renewal(generation.name, generation.number)
        same_issuer = generation.issuer == self.wish.issuer.id
        if not is_fetch_due(renewal, house.clock.now()) or not same_issuer or self.request.force:
            return renewal
        # renewalInfo is asked without a signature, so any key will do; the account need not be known.
        key = await house.keys.open(await house.keys.generate(KeyType.EC256))
        running = reachable(self.wish.issuer, house.place, self.wish.challenge)
        async with running as issuer, house.converse(issuer, key, None) as ca:
            fresh = await refresh_renewal(_Asking(ca, house.ledger, house.clock, house.random), generation)
            self._learn_time(ca)
            return fresh


@dataclass(frozen=True, slots=True)
class _Asking:
    """What asking for a renewal window needs (`certd.issue.renewal.Asker`)."""

    ca: AcmeClient
    ledger: Ledger
    clock: Clock
    random: random_.Random
