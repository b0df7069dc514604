"""Certificate requests (RFC 2986): made for a key that may be remote, and read for `--csr FILE`.

RFC 8555 §7.4: "The CSR MUST indicate the exact same set of requested identifiers as the initial newOrder request."
Made here: an empty subject and exactly one extension, subjectAltName. The DER is put together by hand, because the
signature is awaited (an HSM, a remote signer) and cryptography's builder wants it at once; it is forty lines of fixed
shape, checked in tests against cryptography and openssl for every key type.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certd.keys.certificates import UNREADABLE
from certd.keys.weakness import key_type, weakness
from certd.model.errors import ConfigError
from certd.model.identifiers import Identifier, IdentifierType, parse_identifier
from certd.model.keys import ALGORITHM_OF, Algorithm, KeyType, SigningKey

_LONGEST_CSR = 256 * 1024
_PEM_LABELS = (b"-----BEGIN CERTIFICATE REQUEST-----", b"-----BEGIN NEW CERTIFICATE REQUEST-----")

_OID_EXTENSION_REQUEST = bytes.fromhex("06092a864886f70d01090e")  # 1.2.840.113549.1.9.14
_OID_SUBJECT_ALT_NAME = bytes.fromhex("0603551d11")  # 2.5.29.17
_SIGNATURE_ALGORITHMS: dict[Algorithm, bytes] = {  # AlgorithmIdentifier, whole
    Algorithm.ES256: bytes.fromhex("300a06082a8648ce3d040302"),  # RFC 5758 §3.2: parameters absent
    Algorithm.ES384: bytes.fromhex("300a06082a8648ce3d040303"),
    Algorithm.ES512: bytes.fromhex("300a06082a8648ce3d040304"),
    Algorithm.RS256: bytes.fromhex("300d06092a864886f70d01010b0500"),  # RFC 4055 §5: parameters NULL
    Algorithm.EDDSA: bytes.fromhex("300506032b6570"),  # RFC 8410 §3: parameters absent
}


async def build_csr(key: SigningKey, identifiers: Iterable[Identifier]) -> bytes:
    """A request for exactly *identifiers*, DER, signed by *key*. Raises KeyStoreError from the key."""
    algorithm = ALGORITHM_OF[key.type]
    to_be_signed = _request_info(key.public_der, tuple(dict.fromkeys(identifiers)))
    signature = await key.sign(algorithm, to_be_signed)
    return _sequence(to_be_signed, _SIGNATURE_ALGORITHMS[algorithm], _der(0x03, b"\x00" + signature))


def public_der(csr: bytes) -> bytes:
    """SubjectPublicKeyInfo (DER) of a request that certd made or has read before."""
    return (
        x509.load_der_x509_csr(csr)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _request_info(public: bytes, identifiers: Sequence[Identifier]) -> bytes:
    names = _sequence(*(_general_name(identifier) for identifier in identifiers))
    extension = _sequence(_OID_SUBJECT_ALT_NAME, _der(0x04, names))
    attribute = _sequence(_OID_EXTENSION_REQUEST, _der(0x31, _sequence(extension)))
    return _sequence(
        b"\x02\x01\x00",  # version v1
        _sequence(),  # subject: empty; a common name would be an identifier once more, and CAs drop it
        public,
        _der(0xA0, attribute),
    )


def _general_name(identifier: Identifier) -> bytes:
    match identifier.type:
        case IdentifierType.DNS:
            return _der(0x82, identifier.value.encode("ascii"))
        case IdentifierType.IP:  # RFC 8738 §3: the address in network byte order, 4 or 16 octets
            return _der(0x87, ipaddress.ip_address(identifier.value).packed)


def _sequence(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


@dataclass(frozen=True, slots=True)
class ParsedCsr:
    """A request made elsewhere: what it asks for. `identifiers` as the CA will count them, common name included."""

    der: bytes
    identifiers: tuple[Identifier, ...]
    public_der: bytes
    key_type: KeyType


def parse_csr(data: bytes, source: str) -> ParsedCsr:
    """Read a request (PEM or DER) that certd will send as it is, byte for byte.

    *source* names the file in errors. Raises ConfigError for what no CA would finalize: a bad signature, a weak key,
    names that cannot be ordered, must-staple, a request for a CA certificate.
    """
    request = _load(data, source)
    try:
        key = request.public_key()
        signed = request.is_signature_valid
        extensions = request.extensions
        subject = request.subject
        digest = request.signature_hash_algorithm
    except UNREADABLE:
        raise ConfigError(f"{source}: the certificate request is damaged, or uses what certd cannot read") from None
    if isinstance(digest, hashes.SHA1 | hashes.MD5):
        raise ConfigError(
            f"{source}: the request is signed with {digest.name.upper()}, which CAs refuse",
            hint="make it again with SHA-256: openssl req -new -sha256 …",
        )
    if not signed:
        raise ConfigError(f"{source}: the request's signature does not fit its key")
    type_ = key_type(key)
    if (why := weakness(key)) or type_ is None:
        raise ConfigError(f"{source}: the key is {why}")
    _refuse_extensions(extensions, source)
    identifiers = _identifiers(extensions, subject, source)
    der = request.public_bytes(serialization.Encoding.DER)
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return ParsedCsr(der, identifiers, spki, type_)


def _load(data: bytes, source: str) -> x509.CertificateSigningRequest:
    if len(data) > _LONGEST_CSR:
        raise ConfigError(f"{source}: too long for a certificate request ({len(data)} bytes)")
    try:
        if b"-----BEGIN " not in data:
            return x509.load_der_x509_csr(data)
        if any(label in data for label in _PEM_LABELS):
            return x509.load_pem_x509_csr(data)
    except UNREADABLE:
        raise ConfigError(f"{source}: not a certificate request that can be read (PKCS#10, PEM or DER)") from None
    raise ConfigError(f"{source}: not a certificate request: PEM of something else")


def _refuse_extensions(extensions: x509.Extensions, source: str) -> None:
    for extension in extensions:
        match extension.value:
            case x509.TLSFeature():
                raise ConfigError(
                    f"{source}: the request asks for must-staple, which needs OCSP: CAs have ended OCSP and refuse it "
                    "(Let's Encrypt since 2025-05-07)",
                    hint="make the request again without the TLS feature extension (1.3.6.1.5.5.7.1.24)",
                )
            case x509.BasicConstraints(ca=True):
                raise ConfigError(f"{source}: the request asks for a CA certificate; ACME issues end-entity ones only")
            case _:  # key usages and the like: the CA decides, whatever the request says (RFC 8555 §7.4)
                pass


def _identifiers(extensions: x509.Extensions, subject: x509.Name, source: str) -> tuple[Identifier, ...]:
    found: dict[Identifier, None] = {}
    try:
        names: Iterable[x509.GeneralName] = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = ()
    for name in names:
        found[_identifier(name, source)] = None
    # RFC 8555 §7.4: identifiers "MUST appear either in the commonName portion of the requested subject name or in"
    # the SAN: the CA counts a common name as one of them, so it is ordered too.
    for attribute in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        found.setdefault(_common_name(str(attribute.value), found, source))
    if not found:
        raise ConfigError(f"{source}: the request names no host and no address (no subjectAltName, no common name)")
    return tuple(found)


def _identifier(name: x509.GeneralName, source: str) -> Identifier:
    match name:
        case x509.DNSName(value=text):
            identifier = _exact(text, source)
            if identifier.type is not IdentifierType.DNS:
                raise ConfigError(f"{source}: {text!r} is an address written as a DNS name; write it as IP:{text}")
            return identifier
        case x509.IPAddress(value=ipaddress.IPv4Address() | ipaddress.IPv6Address() as address):
            return _exact(str(address), source)
        case _:
            kind = {x509.RFC822Name: "a mail address", x509.UniformResourceIdentifier: "a URI"}.get(
                type(name), f"a name of the kind {type(name).__name__}"
            )
            raise ConfigError(f"{source}: the request has {kind} among its names; ACME issues for hosts and addresses")


def _common_name(text: str, found: Iterable[Identifier], source: str) -> Identifier:
    try:
        identifier = _exact(text, source)
    except ConfigError as why:
        raise ConfigError(
            f"{source}: the common name {text!r} is not a host name, and the CA would count it as one",
            hint="make the request again without a common name; the names stand in subjectAltName",
        ) from why
    if identifier.type is IdentifierType.IP and identifier not in found:
        raise ConfigError(  # RFC 8738 §3: IP identifiers stand in subjectAltName
            f"{source}: the address {text} stands in the common name only; it must be in subjectAltName as IP:{text}"
        )
    return identifier


def _exact(text: str, source: str) -> Identifier:
    """The identifier that the CA will read from *text*; the request cannot be changed, so nothing is put right."""
    try:
        identifier = parse_identifier(text)
    except ConfigError as why:
        raise ConfigError(f"{source}: {why}", hint=why.hint) from None
    if identifier.value != text.lower():
        raise ConfigError(f"{source}: the request has {text!r}, where it should have {identifier.value!r}")
    return identifier
