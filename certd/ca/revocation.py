"""Revocation (RFC 8555 §7.6; reasons: RFC 5280 §5.3.1)."""

from certd.ca.quirks import Quirks
from certd.ca.wire import b64url, payload_of
from certd.model.acme import RevocationReason
from certd.model.errors import ConfigError


def revocation(leaf_der: bytes, reason: RevocationReason, quirks: Quirks) -> bytes:
    """The payload of revokeCert. Raises ConfigError for a reason that this CA is known to refuse."""
    if reason not in quirks.reasons:
        taken = ", ".join(sorted(r.name.lower().replace("_", "-") for r in quirks.reasons))
        raise ConfigError(
            f"reason {reason.name.lower().replace('_', '-')}: this CA does not take it from subscribers",
            hint=f"it takes {taken}",
        )
    return payload_of({"certificate": b64url(leaf_der), "reason": reason.value})
