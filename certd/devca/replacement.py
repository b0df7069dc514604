"""`replaces` in a newOrder (RFC 9773 §5), with Boulder's rules and in Boulder's order."""

from collections.abc import Iterable

from certd.devca import base64url
from certd.devca.authority import Authority
from certd.devca.problems import refused
from certd.devca.records import Account, Identifier, OrderStatus
from certd.devca.settling import settle

#: A replacement in one of these holds the place; one that became invalid gives it back.
HOLDING = (OrderStatus.PENDING, OrderStatus.READY, OrderStatus.PROCESSING)


def check_cert_id(ca: Authority, cert_id: object) -> str:
    """Raises Refused: `malformed`, with status 404 for another issuer's."""
    if not isinstance(cert_id, str) or cert_id.count(".") != 1:
        raise refused("malformed", "a certificate id has two parts with a dot between (RFC 9773 §4.1)")
    authority, serial = cert_id.split(".")
    try:
        key_identifier, octets = base64url.decode(authority), base64url.decode(serial)
    except ValueError as error:
        raise refused("malformed", f"certificate id: {error}") from None
    if key_identifier != ca.issuer.key_identifier:
        raise refused("malformed", "certificate id: none of this CA's issuers has that key identifier", status=404)
    if not octets or octets[0] >= 0x80 or (octets[0] == 0 and len(octets) > 1 and octets[1] < 0x80):
        raise refused("malformed", "certificate id: not the octets of a DER serial (a zero octet too many or missing)")
    return cert_id


def check_replacement(ca: Authority, owner: Account, wanted: Iterable[Identifier], cert_id: object) -> None:
    """Raises Refused unless *owner* may say that an order for *wanted* replaces that certificate."""
    known = check_cert_id(ca, cert_id)
    found = ca.store.certificate_with(known)
    rivals = [settle(ca, each) for each in ca.store.orders_replacing(known)]
    if (found is not None and found.replaced_by is not None) or any(each.status in HOLDING for each in rivals):
        raise refused("alreadyReplaced", "that certificate has a replacement order already")
    if found is None:
        raise refused("malformed", "replaces: there is no such certificate", status=404)
    if found.account != owner.id:
        raise refused("unauthorized", "replaces: another account's certificate")
    if not set(found.identifiers) & set(wanted):
        raise refused("malformed", "replaces: the certificate and this order have no identifier in common")
