"""Retry-After and Date (RFC 9110 §10.2.3, §5.6.7): both forms become an absolute moment on our clock.

Never sleeps: the moment is the planner's. What cannot be read is None, never "now" and never "in ten thousand years".
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

#: No public CA asks for more than a week; a larger number is a mistake that must not cost a certificate.
LONGEST_WAIT = timedelta(days=31)

_SECONDS = re.compile(r"[0-9]{1,20}", re.ASCII)


def parse_retry_after(value: str | None, now: datetime, ca_time: datetime | None = None) -> datetime | None:
    """When to ask again: *now* or later, at most LONGEST_WAIT later.

    A date is meant on the CA's clock: *ca_time*, its Date in the same reply, takes out what our clock is off.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return now + timedelta(seconds=min(int(value), LONGEST_WAIT.total_seconds()))
    moment = parse_http_date(value)
    if moment is None:
        return None
    return now + min(max(moment - (ca_time or now), timedelta(0)), LONGEST_WAIT)


def parse_http_date(value: str | None) -> datetime | None:
    """IMF-fixdate and the two obsolete forms; all are UTC, whatever the time zone of this process (§5.6.7)."""
    if value is None or len(value) > 64 or not value[:1].isalpha():
        return None
    try:
        moment = parsedate_to_datetime(value)
        # asctime's form and `-0000` come back naive; an HTTP-date is always UTC.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
