"""X.509 certificates as certd reads them: the facts of a leaf, and chains as PEM.

Every byte comes from a CA and may be hostile: whatever a parser says, the caller gets ChainRejected.
"""

import base64
import hashlib
import ipaddress
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.utils import CryptographyDeprecationWarning

from certd.keys.weakness import key_type
from certd.model.acme import Chain
from certd.model.errors import ChainRejected
from certd.model.identifiers import Identifier, IdentifierType
from certd.model.keys import KeyType

#: All that cryptography's lazy parsers raise for damaged or unknown input.
UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """What a certificate says of itself. `strange_names`: subject alternative names that no identifier can express."""

    serial: str  # lower-case hex of the integer, without leading zeros
    not_before: datetime
    not_after: datetime
    identifiers: tuple[Identifier, ...]
    strange_names: tuple[str, ...]
    issuer: str  # RFC 4514 text
    public_der: bytes  # SubjectPublicKeyInfo
    aki: bytes | None  # the keyIdentifier of the authority key identifier
    key_type: KeyType | None
    is_ca: bool
    fingerprint: str  # SHA-256 of the whole certificate, lower-case hex


def load_certificate(der: bytes) -> x509.Certificate:
    """Raises ChainRejected for what is no certificate."""
    try:
        with _quietly():
            return x509.load_der_x509_certificate(der)
    except UNREADABLE:
        raise ChainRejected("the CA sent something that is no X.509 certificate") from None


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        # RFC 5280 §4.1.2.2: users "SHOULD be prepared to gracefully handle" serials of zero and less: no noise.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


@lru_cache(maxsize=8)  # who checks a chain asks for its facts in the next moment
def parse_leaf(der: bytes) -> LeafFacts:
    """Read the end-entity certificate of a chain. Raises ChainRejected when it cannot be read whole."""
    certificate = load_certificate(der)
    try:
        with _quietly():
            return _facts(certificate, der)
    except UNREADABLE as why:
        raise ChainRejected(f"the CA's certificate breaks RFC 5280: {type(why).__name__}") from None


def _facts(certificate: x509.Certificate, der: bytes) -> LeafFacts:
    key = certificate.public_key()
    identifiers, strange = _names(certificate)
    return LeafFacts(
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        identifiers=identifiers,
        strange_names=strange,
        issuer=certificate.issuer.rfc4514_string(),
        public_der=key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        aki=_authority_key_identifier(certificate),
        key_type=key_type(key),
        is_ca=is_ca(certificate),
        fingerprint=fingerprint(der),
    )


def _names(certificate: x509.Certificate) -> tuple[tuple[Identifier, ...], tuple[str, ...]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    identifiers: dict[Identifier, None] = {}
    strange: dict[str, None] = {}
    for name in names:
        match name:
            case x509.DNSName(value=text):
                identifiers[Identifier(IdentifierType.DNS, text.lower())] = None
            case x509.IPAddress(value=ipaddress.IPv4Address() | ipaddress.IPv6Address() as address):
                identifiers[Identifier(IdentifierType.IP, str(address))] = None
            case _:
                strange[type(name).__name__] = None
    return tuple(identifiers), tuple(strange)


def _authority_key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


def is_ca(certificate: x509.Certificate) -> bool:
    """By basic constraints (RFC 5280 §4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, lower-case hex."""
    return hashlib.sha256(der).hexdigest()


def chain_pem(chain: Chain) -> str:
    """PEM text of a chain, the leaf first, nothing but certificates."""
    return "".join(_block(der) for der in chain.certificates)


def chain_from_pem(text: str) -> Chain:
    """The inverse of `chain_pem`. Raises ChainRejected for anything else than certificates between the lines."""
    certificates = tuple(_decode(found.group(1)) for found in _CERTIFICATE.finditer(text))
    if not certificates or _CERTIFICATE.sub("", text).strip():
        raise ChainRejected("a stored chain is damaged: it must be PEM certificates and nothing else")
    return Chain(certificates)


def _decode(body: str) -> bytes:
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except ValueError:
        raise ChainRejected("a stored chain is damaged: a certificate in it is not base64") from None


def _block(der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
