"""Times as people read them: dates with what matters of them, lengths with their unit."""

from datetime import datetime, timedelta

_NEAR = timedelta(days=2)


def moment(when: datetime, now: datetime) -> str:
    """A date, with the time where that matters: within two days."""
    return f"{when:%Y-%m-%d}" if abs(when - now) > _NEAR else f"{when:%Y-%m-%d %H:%M:%S}Z"


def in_words(length: timedelta) -> str:
    """`89 days`, `31 hours`, `40 s`."""
    seconds = round(length.total_seconds())
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
