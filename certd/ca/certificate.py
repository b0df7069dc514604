"""Certificate chains (RFC 8555 §7.4.2, §9.1): PEM to DER, and nothing but certificates (§11.4, R35).

Whether a chain fits what was ordered is `certd.keys.chain`'s business; here it is only what the media type allows.
"""

import binascii
import re

from cryptography import x509

from certd.ca.links import links
from certd.ca.origin import Origin
from certd.ca.transport import Reply
from certd.model.acme import Chain
from certd.model.errors import CaProtocolError

MOST_CERTIFICATES = 20
MOST_ALTERNATES = 32

# One BEGIN … END at a time; the body has no dash, so there is nothing to search twice.
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
_WHITE = re.compile(rb"\s+")


def read_chain(pem: bytes, what: str) -> Chain:
    """The certificates in *pem*, in order. Raises CaProtocolError for anything else between dashes, and for none."""
    blocks = _BLOCK.findall(pem)
    # §11.4: clients "MUST reject any other" encapsulation: a PEM of a key would be written where servers read it.
    if pem.count(b"-----BEGIN") != len(blocks):
        raise CaProtocolError(f"{what}: the chain has something else than certificates in it")
    if not blocks:
        raise CaProtocolError(f"{what}: the reply is not a chain of certificates in PEM")
    if len(blocks) > MOST_CERTIFICATES:
        raise CaProtocolError(f"{what}: a chain of {len(blocks)} certificates")
    return Chain(tuple(_certificate(block, what, place) for place, block in enumerate(blocks, 1)))


def alternates(reply: Reply, origin: Origin) -> tuple[str, ...]:
    """The URLs of other chains for the same certificate (§7.4.2): those on the CA's origin, at most 32."""
    found = []
    for target in links(reply.all("Link"), "alternate", reply.url):
        try:
            found.append(origin.check(target, "alternate chain"))
        except CaProtocolError:
            continue  # an alternate is an offer: one that leads elsewhere is no reason to lose the default chain
    return tuple(dict.fromkeys(found))[:MOST_ALTERNATES]


def _certificate(block: bytes, what: str, place: int) -> bytes:
    try:
        der = binascii.a2b_base64(_WHITE.sub(b"", block), strict_mode=True)
        x509.load_der_x509_certificate(der)
    except ValueError:
        raise CaProtocolError(f"{what}: certificate {place} of the chain cannot be read") from None
    return der
