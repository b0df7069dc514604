"""Why a certificate shall be issued now, in words for people: all that changed, and CAs by their titles. Pure."""

from collections.abc import Sequence
from datetime import datetime

from certd.app.issuers import title_of
from certd.model.desired import Desired
from certd.model.findings import Finding
from certd.model.records import Generation, Renewal
from certd.plan.due import (
    Check,
    Snapshot,
    first_finding,
    issuer_changed,
    key_changed,
    names_changed,
    profile_changed,
)

#: What a person may have changed; of these all are told, not the first alone.
CHANGES: Sequence[Check] = (names_changed, issuer_changed, key_changed, profile_changed)
#: Findings that a wrong clock can make.
BY_TIME = frozenset({"due", "floor", "expired"})

FORCED = Finding("forced", "asked for by --force")
RESUMED = Finding("resumed", "an order was under way")


def why(
    desired: Desired,
    generation: Generation | None,
    renewal: Renewal | None,
    now: datetime,
    *,
    force: bool = False,
    other_csr_key: bool = False,
) -> Finding | None:
    """The finding, or None: nothing is due."""
    snapshot = Snapshot(desired, generation, renewal, other_csr_key)
    found = first_finding(snapshot, now)
    if found is None:
        return FORCED if force else None
    changes = [change for check in CHANGES if (change := check(snapshot, now))]
    if found not in changes or generation is None:
        return found
    return Finding(found.code, "; ".join(_said(change, desired, generation) for change in changes))


def _said(change: Finding, desired: Desired, generation: Generation) -> str:
    if change.code != "issuer-changed":
        return change.message
    return f"issuer changed: {title_of(generation.issuer)} → {title_of(desired.issuer)}"
