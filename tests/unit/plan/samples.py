"""Values that the planner looks at."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from certd.model.acme import CertId, IssuerId, RenewalInfo
from certd.model.desired import Desired
from certd.model.identifiers import CertName, parse_identifiers, set_key
from certd.model.keys import KeyId, KeyType
from certd.model.records import FailureRecord, Generation, Renewal, Scope, ScopeKind
from tests.fakes.clock import START

ISSUER = IssuerId("https://ca.test/directory")
NAME = CertName("example.org")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def desired(*names: str, **changes: Any) -> Desired:
    plain = Desired(NAME, parse_identifiers(names or ("example.org", "www.example.org")), ISSUER)
    return replace(plain, **changes)


def generation(lifetime: timedelta = 90 * DAY, *, begins: datetime = START, **changes: Any) -> Generation:
    """Issued at *begins*; as `desired()` wants it."""
    plain = Generation(
        name=NAME,
        number=1,
        issuer=ISSUER,
        order_id="order-1",
        key_id=KeyId("key-1"),
        set_key=set_key(desired().identifiers),
        key_type=KeyType.EC256,
        profile="",
        chain="",
        serial="1",
        cert_id=CertId("aki.1"),
        fingerprint="f",
        not_before=begins,
        not_after=begins + lifetime,
        reason="",
        created_at=begins,
    )
    return replace(plain, **changes)


def window(start: datetime, length: timedelta = DAY, url: str = "") -> RenewalInfo:
    return RenewalInfo(start, start + length, retry_after=start, explanation_url=url)


def due(at: datetime, *, by_ca: bool = True) -> Renewal:
    return Renewal(NAME, 1, ISSUER, CertId("aki.1"), at - DAY, at + DAY, at, by_ca, "", None)


IDENTIFIER = Scope(ScopeKind.IDENTIFIER, ISSUER, "example.org")


def failed(*minutes: float, scope: Scope = IDENTIFIER) -> list[FailureRecord]:
    """Failures so many minutes after START."""
    return [FailureRecord(scope, START + timedelta(minutes=m), "dns", f"NXDOMAIN at {m:g}") for m in minutes]
