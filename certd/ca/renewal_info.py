"""Renewal information (RFC 9773 §4): a window and when to ask again; drawing in it is the planner's."""

from datetime import datetime, timedelta

from certd.ca.document import Document
from certd.ca.text import clean
from certd.model.acme import CertId, RenewalInfo

SOONEST, LATEST = timedelta(minutes=1), timedelta(days=1)

#: §4.3.3: a reply without a usable Retry-After counts as a long-term error: ask again after six hours.
WITHOUT_RETRY_AFTER = timedelta(hours=6)


def renewal_info_url(base: str, cert: CertId) -> str:
    """§4.1: the directory's renewalInfo, a slash, the certificate's id."""
    return f"{base.rstrip('/')}/{cert}"


def read_renewal_info(document: Document, now: datetime, retry_after: datetime | None) -> RenewalInfo:
    """§4.2. Raises CaProtocolError for a window that is none: the caller keeps the last one, as without a reply."""
    window = document.document("suggestedWindow")
    start = window.moment("start") if window else None
    end = window.moment("end") if window else None
    if start is None or end is None:
        document.refuse("suggestedWindow", "is missing, or has no times with a zone")
    if end <= start:
        document.refuse("suggestedWindow", f"ends ({end:%Y-%m-%dT%H:%MZ}) before it begins ({start:%Y-%m-%dT%H:%MZ})")
    return RenewalInfo(start, end, _ask_again(now, retry_after), _explanation(document))


def _ask_again(now: datetime, retry_after: datetime | None) -> datetime:
    if retry_after is None:
        return now + WITHOUT_RETRY_AFTER
    return now + min(max(retry_after - now, SOONEST), LATEST)


def _explanation(document: Document) -> str:
    """For the operator to open; never fetched. Anything but https is dropped."""
    url = document.text("explanationURL")
    fit = url.startswith("https://") and len(url) <= 1024 and clean(url) == url and " " not in url
    return url if fit else ""
