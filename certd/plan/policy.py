"""What certd refuses to ask of a CA that the world trusts: names that no such CA may certify. Pure.

A request for one of them is a mistake, or a test pointed at the wrong CA, and is held against the account there.
CAs of one's own, staging CAs and the embedded one may be asked for anything.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from certd.model.identifiers import Identifier, IdentifierType

#: Suffix → where that is said. Names at and below it are nobody's in the public DNS.
RESERVED: dict[str, str] = {
    "test": "RFC 6761",
    "example": "RFC 6761",
    "invalid": "RFC 6761",
    "localhost": "RFC 6761",
    "local": "RFC 6762",
    "internal": "ICANN resolution 2024.07.29.06",
    "home.arpa": "RFC 8375",
    "alt": "RFC 9476",
    "example.com": "RFC 2606",
    "example.net": "RFC 2606",
    "example.org": "RFC 2606",
}


@dataclass(frozen=True, slots=True)
class Refuse:
    """Forbidden, whenever it is asked for. `reasons`: one for each identifier that is to blame."""

    reasons: tuple[str, ...]


def never_public(identifiers: Iterable[Identifier]) -> Refuse | None:
    """Which of *identifiers* no publicly trusted CA may certify, and why; None when all are possible."""
    reasons = [f"{identifier}: {why}" for identifier in identifiers if (why := _objection(identifier))]
    return Refuse(tuple(reasons)) if reasons else None


def _objection(identifier: Identifier) -> str | None:
    if identifier.type is IdentifierType.IP:
        address = ipaddress.ip_address(identifier.value)
        # CA/B Forum BR 4.2.2: no "Reserved IP Address".
        return None if address.is_global and not address.is_multicast else "is not an address of the public Internet"
    labels = identifier.base.split(".")
    for start in range(len(labels)):
        if source := RESERVED.get(suffix := ".".join(labels[start:])):
            return f"names under {suffix} are reserved and belong to nobody ({source})"
    # CA/B Forum BR 4.2.2: no "Internal Name".
    return None if len(labels) > 1 else "is a name of a local network only, because it has no dot"
