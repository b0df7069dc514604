"""When a certificate should be renewed (RFC 9773), as Boulder says it.

Around 2/3 of the lifetime, 1/2 where it is under ten days, ± 1 % of it; for a revoked one a window that is over.
"""

from datetime import timedelta

from certd.devca.authority import Authority, Reply, SetWindow, timestamp
from certd.devca.problems import refused
from certd.devca.records import Certificate
from certd.devca.replacement import check_cert_id

SHORT = timedelta(days=10)


def renewal_info(ca: Authority, cert_id: str) -> Reply:
    """Anybody may ask; Retry-After says when again."""
    found = ca.store.certificate_with(check_cert_id(ca, cert_id))
    if found is None:
        raise refused("malformed", "there is no such certificate", status=404)
    window = ca.windows.get(cert_id) or suggested_window(ca, found)
    document = {"suggestedWindow": {"start": timestamp(window.start), "end": timestamp(window.end)}}
    explained = {"explanationURL": window.explanation_url} if window.explanation_url is not None else {}
    wait = min(ca.options.renewal_info_retry_after, max(1, int(_lifetime(found).total_seconds() / 20)))
    return Reply(document | explained | ca.chaff(), headers=(("Retry-After", str(wait)),))


def suggested_window(ca: Authority, found: Certificate) -> SetWindow:
    if found.revoked_at is not None:
        now = ca.now()
        return SetWindow(now - timedelta(hours=1), now - timedelta(minutes=30))
    lifetime = _lifetime(found)
    ideal = found.not_after - lifetime / (2 if lifetime < SHORT else 3)
    return SetWindow(ideal - lifetime / 100, ideal + lifetime / 100)


def _lifetime(found: Certificate) -> timedelta:
    return found.not_after - found.not_before + timedelta(seconds=1)
