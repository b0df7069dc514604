"""Is there anything to issue? A chain of small pure checks, each answering a finding or nothing (design 5).

One path decides with ARI and without: a `Renewal` row holds the moment that was drawn once, whoever suggested its
window.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from certd.model.acme import RenewalInfo
from certd.model.desired import Desired
from certd.model.findings import Finding
from certd.model.identifiers import from_set_key
from certd.model.records import Generation, Renewal

SHORT_LIVED = timedelta(days=10)

#: What a CA says of its next question is cut to a day (`certd.ca.renewal_info`); an hour for clocks that are set right.
LONGEST_UNASKED = timedelta(days=1, hours=1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the checks look at. `other_csr_key`: the given CSR is for another key than the generation's (X.509)."""

    desired: Desired
    generation: Generation | None
    renewal: Renewal | None
    other_csr_key: bool = False


def certificate_missing(s: Snapshot, _now: datetime) -> Finding | None:
    return None if s.generation else Finding("missing", "no certificate yet")


def names_changed(s: Snapshot, _now: datetime) -> Finding | None:
    if s.generation is None or s.generation.set_key == s.desired.set_key:
        return None
    before, after = set(from_set_key(s.generation.set_key)), set(s.desired.identifiers)
    changes = [f"+{i}" for i in sorted(map(str, after - before))] + [f"-{i}" for i in sorted(map(str, before - after))]
    return Finding("names-changed", f"names changed: {' '.join(changes)}")


def issuer_changed(s: Snapshot, _now: datetime) -> Finding | None:
    if s.generation is None or s.generation.issuer == s.desired.issuer:
        return None
    return Finding("issuer-changed", f"issuer changed: {s.generation.issuer} → {s.desired.issuer}")


def key_changed(s: Snapshot, _now: datetime) -> Finding | None:
    if s.generation is None:
        return None
    if s.desired.csr is not None:
        if s.generation.csr_given and not s.other_csr_key:
            return None
        return Finding("key-changed", f"key changed: to that of {'another' if s.generation.csr_given else 'a'} CSR")
    if s.generation.csr_given:
        return Finding("key-changed", "key changed: from that of a CSR to one of certd's own")
    if s.generation.key_type is s.desired.key.type:
        return None
    return Finding("key-changed", f"key type changed: {s.generation.key_type.label} → {s.desired.key.type.label}")


def profile_changed(s: Snapshot, _now: datetime) -> Finding | None:
    if s.generation is None or s.generation.profile == s.desired.profile:
        return None
    was, wanted = s.generation.profile or "the CA's default", s.desired.profile or "the CA's default"
    return Finding("profile-changed", f"profile changed: {was} → {wanted}")


def revoked(s: Snapshot, _now: datetime) -> Finding | None:
    if s.generation is None or s.generation.revoked_at is None:
        return None
    return Finding("revoked", f"revoked on {s.generation.revoked_at:%Y-%m-%d}")


def expired(s: Snapshot, now: datetime) -> Finding | None:
    if s.generation is None or now < s.generation.not_after:
        return None
    return Finding("expired", f"expired on {s.generation.not_after:%Y-%m-%d %H:%M}Z")


def floor_passed(s: Snapshot, now: datetime) -> Finding | None:
    if s.generation is None or now < floor(s.generation):
        return None
    return Finding("floor", f"expires at {s.generation.not_after:%Y-%m-%d %H:%M}Z: too close to wait for anything")


def renewal_due(s: Snapshot, now: datetime) -> Finding | None:
    if s.generation is None or s.renewal is None or now < s.renewal.due_at:
        return None
    by = "the CA's suggested window" if s.renewal.by_ca else "our own point in its lifetime"
    return Finding("due", f"due since {s.renewal.due_at:%Y-%m-%d %H:%M}Z by {by}")


Check = Callable[[Snapshot, datetime], Finding | None]

ISSUE_WHEN: Sequence[Check] = (
    certificate_missing,
    names_changed,
    issuer_changed,
    key_changed,
    profile_changed,
    revoked,
    expired,
    floor_passed,
    renewal_due,
)


def first_finding(s: Snapshot, now: datetime, checks: Sequence[Check] = ISSUE_WHEN) -> Finding | None:
    """Why a certificate shall be issued now, or None: nothing is due."""
    return next((finding for check in checks if (finding := check(s, now))), None)


def floor(generation: Generation) -> datetime:
    """From here on nothing is waited for: 1/20 of the lifetime left, 1/6 for lifetimes under ten days."""
    lifetime = generation.not_after - generation.not_before
    return generation.not_after - (lifetime / 6 if lifetime < SHORT_LIVED else lifetime / 20)


def synthesised_window(generation: Generation) -> tuple[datetime, datetime]:
    """Without a CA's word: 2/3 of the lifetime (1/2 under ten days) ± 1 %."""
    lifetime = generation.not_after - generation.not_before
    point = generation.not_before + (lifetime / 2 if lifetime < SHORT_LIVED else lifetime * 2 / 3)
    return point - lifetime / 100, point + lifetime / 100


def draw_renewal(
    generation: Generation,
    info: RenewalInfo | None,
    previous: Renewal | None,
    rng: random.Random,
    next_fetch_at: datetime | None,
) -> Renewal:
    """Choose the moment, uniformly in the window, once for each window.

    RFC 9773 §4.2: choosing again at every check would drift to the end of the window, or past it. Without an answer
    (*info* None) the last window stays. Which share of a window is waited for is drawn once a certificate: a CA whose
    servers take turns at two windows then moves nothing.
    """
    if info is not None and _is_usable(generation, info, previous):
        start, end, by_ca, url = info.start, info.end, True, info.explanation_url
    elif previous is not None:
        start, end, by_ca, url = previous.window_start, previous.window_end, previous.by_ca, previous.explanation_url
    else:
        (start, end), by_ca, url = synthesised_window(generation), False, ""
    if previous is not None and (previous.window_start, previous.window_end) == (start, end):
        due_at = previous.due_at
    else:
        due_at = start + (end - start) * (rng.random() if previous is None else _share(previous))
    return Renewal(
        name=generation.name,
        number=generation.number,
        issuer=generation.issuer,
        cert_id=generation.cert_id,
        window_start=start,
        window_end=end,
        due_at=due_at,
        by_ca=by_ca,
        explanation_url=url,
        next_fetch_at=next_fetch_at,
    )


def is_fetch_due(renewal: Renewal | None, now: datetime) -> bool:
    """Whether the CA shall be asked (again) for its window; always, where it never was."""
    if renewal is None:
        return True
    if renewal.next_fetch_at is None:
        return False
    # Asking is never put off for longer than this: a moment further ahead comes from a clock that was wrong.
    return not now < renewal.next_fetch_at <= now + LONGEST_UNASKED


def _is_usable(generation: Generation, info: RenewalInfo, previous: Renewal | None) -> bool:
    """RFC 9773 §4.2: a window that ends before it begins is no answer; nor is a first one, over before issuance.

    That one is the predecessor's, and believing it would issue again at once, and again (cert-manager #8993: five in
    ten seconds). A CA that means it says so again at the next question.
    """
    is_stale = previous is None and info.end <= generation.created_at
    return info.start < info.end and not is_stale


def _share(renewal: Renewal) -> float:
    """Where in its window the moment was drawn, 0 to 1."""
    width = renewal.window_end - renewal.window_start
    return (renewal.due_at - renewal.window_start) / width if width else 0.0
