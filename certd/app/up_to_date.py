"""The path on which nothing is due: synchronous, read-only, no event loop, no X.509, no CA.

It answers only when it is sure; anything to do, to repair, to sweep or to complain of is left to `certd.app.issue`.
"""

import os
import stat
from datetime import datetime
from pathlib import Path

from certd.app.issuers import title_of
from certd.app.place import Place
from certd.app.request import IssueRequest
from certd.app.result import UP_TO_DATE, IssueResult, notes_on, paths_of
from certd.app.wish import Wish, read_request
from certd.files.access import PRIVATE, Access
from certd.ledger.glance import Glance, glance
from certd.model.clock import Clock, SystemClock
from certd.model.desired import Desired
from certd.model.errors import ConfigError
from certd.model.records import Generation
from certd.plan.due import Snapshot, first_finding, is_fetch_due


def up_to_date(request: IssueRequest, clock: Clock | None = None) -> IssueResult | None:
    """The result if there is nothing to do at all, else None. Raises StorageError."""
    if request.force or request.dry_run:
        return None
    try:
        wish = read_request(request)
    except ConfigError:
        return None  # told together with the mistakes that cost more time to find
    place, now = Place(request.state_dir), (clock or SystemClock()).now()
    seen = glance(place.ledger, wish.desired.name)
    if seen is None or seen.generation is None or _something_to_do(wish, place, seen, seen.generation, now):
        return None
    if not _has_copies(request.out.directory, wish.access, seen.generation):
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
        notes=notes_on(seen.generation, seen.renewal, now),
    )


def _something_to_do(wish: Wish, place: Place, seen: Glance, generation: Generation, now: datetime) -> bool:
    return (
        is_fetch_due(seen.renewal, now)
        or seen.open_order is not None
        or seen.has_open_proofs
        or (bool(wish.reload) and seen.reloaded != generation.number)
        or first_finding(Snapshot(wish.desired, generation, seen.renewal, _other_csr(wish, seen)), now) is not None
        or not place.is_live(generation.name, generation.number)
        or not _are_whole(place.live(generation.name), generation, PRIVATE)
    )


def _other_csr(wish: Wish, seen: Glance) -> bool:
    """Whether another CSR was given last time: perhaps for another key, which only X.509 could tell."""
    if wish.desired.csr is None:
        return False
    return seen.desired is None or Desired.from_json(seen.desired.name, seen.desired.document).csr != wish.desired.csr


def _has_copies(out: Path | None, access: Access, generation: Generation) -> bool:
    return out is None or _are_whole(out, generation, access, exactly=True)


def _are_whole(directory: Path, generation: Generation, access: Access, *, exactly: bool = False) -> bool:
    """Whether all files are there, and the chain is this generation's: it is switched last, so the others are, too.

    *exactly*: with this owner, group and mode; those in `live/` may have been given others by hand.
    """
    paths = paths_of(directory, with_key=generation.key_id is not None)
    try:
        seen = {kind: Path(path).stat() for kind, path in paths.items()}
        chain = Path(paths["fullchain"]).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return False
    return chain == generation.chain and (not exactly or all(_fits(kind, seen[kind], access) for kind in seen))


def _fits(kind: str, seen: os.stat_result, access: Access) -> bool:
    return (
        stat.S_IMODE(seen.st_mode) == access.file_mode(is_secret=kind in {"privkey", "bundle"})
        and access.owner in {None, seen.st_uid}
        and access.group in {None, seen.st_gid}
    )
