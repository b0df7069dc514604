"""The path on which nothing is due: synchronous, read-only, no event loop, no X.509, no CA.

It answers only when it is sure; anything to do, to repair or to sweep is left to `certd.app.issue`.
"""

from datetime import datetime
from pathlib import Path

from certd.app.issuers import title_of
from certd.app.place import Place
from certd.app.request import IssueRequest, OutOptions, Wish, read_request
from certd.app.result import UP_TO_DATE, IssueResult
from certd.ledger.glance import Glance, glance
from certd.model.clock import Clock, SystemClock
from certd.model.records import Generation
from certd.plan.due import Snapshot, first_finding


def up_to_date(request: IssueRequest, clock: Clock | None = None) -> IssueResult | None:
    """The result if there is nothing to do at all, else None. Raises ConfigError, StorageError."""
    wish = read_request(request)
    if request.force or request.dry_run:
        return None
    place, now = Place(request.state_dir), (clock or SystemClock()).now()
    seen = glance(place.ledger, wish.desired.name)
    if seen is None or seen.generation is None or _something_to_do(request, wish, place, seen, seen.generation, now):
        return None
    return IssueResult(
        status=UP_TO_DATE,
        name=wish.desired.name,
        issuer=title_of(wish.issuer.id),
        names=tuple(map(str, wish.desired.identifiers)),
        now=now,
        generation=seen.generation,
        renewal=seen.renewal,
        live=place.live(wish.desired.name),
        out=request.out.directory,
    )


def _something_to_do(
    request: IssueRequest, wish: Wish, place: Place, seen: Glance, generation: Generation, now: datetime
) -> bool:
    renewal = seen.renewal
    if renewal is None or (renewal.next_fetch_at is not None and renewal.next_fetch_at <= now):
        return True
    if seen.open_order is not None or seen.has_open_proofs:
        return True
    if request.reload and seen.reloaded != generation.number:
        return True
    return (
        first_finding(Snapshot(wish.desired, generation, renewal), now) is not None
        or not place.is_live(generation.name, generation.number)
        or not has_copies(request.out, generation)
    )


def has_copies(out: OutOptions, generation: Generation) -> bool:
    """Whether `--out` holds this generation's chain already; the copies are switched key first, chain last."""
    if out.directory is None:
        return True
    return _read(out.directory / "fullchain.pem") == generation.chain


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
