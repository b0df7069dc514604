"""Certificate signing requests (RFC 2986, RFC 8555 §7.4): exactly the order's identifiers, a key worth certifying.

Every refusal is `badCSR`, which leaves the order `ready`, so that an amended request can follow.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

from certd.devca.issue import SubjectKey
from certd.devca.problems import refused
from certd.devca.records import Identifier
from certd.devca.weak_rsa import easily_factored

CURVES = ("secp256r1", "secp384r1", "secp521r1")
RSA_BITS = (2048, 3072, 4096)
WEAK_HASHES = (hashes.MD5, hashes.SHA1, hashes.SHA224)
LARGEST = 64 * 1024


def read_csr(der: bytes, wanted: Iterable[Identifier]) -> tuple[SubjectKey, bytes]:
    """The public key that asks, and its SubjectPublicKeyInfo. Raises Refused: `badCSR`, or `malformed` for no DER."""
    try:
        request = x509.load_der_x509_csr(der)
        valid = request.is_signature_valid
        digest, key, extensions = request.signature_hash_algorithm, request.public_key(), request.extensions
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise refused("malformed", f"csr: not a PKCS #10 request: {error}") from None
    if not valid:
        raise refused("badCSR", "its signature does not verify")
    if isinstance(digest, WEAK_HASHES):
        raise refused("badCSR", f"signed with {digest.name}")
    _check_extensions(extensions)
    if (asked := _identifiers(request, extensions)) != (ordered := set(wanted)):
        extra, missing = sorted(asked - ordered), sorted(ordered - asked)
        words = [f"{each.value} is not in the order" for each in extra]
        words += [f"{each.value} of the order is missing" for each in missing]
        raise refused("badCSR", f"not the identifiers of the order: {', '.join(words)}")
    if not _good(key):
        raise refused("badCSR", "a weak key, or a kind not taken (P-256, P-384, P-521, RSA 2048 to 4096, Ed25519)")
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key, spki


def load_key(spki: bytes) -> SubjectKey:
    key = serialization.load_der_public_key(spki)
    if not _good(key):
        raise TypeError("a stored key that was never taken")
    return key


def _good(key: object) -> TypeGuard[SubjectKey]:
    match key:
        case ec.EllipticCurvePublicKey():
            return key.curve.name in CURVES
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            return key.key_size in RSA_BITS and numbers.e == 65537 and not easily_factored(numbers.n)
        case _:
            return isinstance(key, ed25519.Ed25519PublicKey)


def _check_extensions(extensions: x509.Extensions) -> None:
    for each in extensions:
        if isinstance(each.value, x509.BasicConstraints) and each.value.ca:
            raise refused("badCSR", "asks for a CA certificate")
        if each.oid == ExtensionOID.TLS_FEATURE:
            raise refused("badCSR", "asks for OCSP must-staple, and there is no OCSP here")


def _identifiers(request: x509.CertificateSigningRequest, extensions: x509.Extensions) -> set[Identifier]:
    """Those of subjectAltName, and the common name, which "MUST" be one of them where it is there (RFC 8555 §7.4)."""
    found: set[Identifier] = set()
    try:
        names: Iterable[x509.GeneralName] = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = ()
    for name in names:
        match name:
            case x509.DNSName():
                found.add(Identifier("dns", name.value.lower()))
            case x509.IPAddress():
                found.add(Identifier("ip", str(name.value)))
            case _:
                raise refused("badCSR", f"subjectAltName: {type(name).__name__} is neither a DNS name nor an address")
    for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        found.add(_common_name(str(attribute.value)))
    return found


def _common_name(value: str) -> Identifier:
    try:
        return Identifier("ip", str(ip_address(value)))
    except ValueError:
        return Identifier("dns", value.lower())
