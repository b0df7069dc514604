"""tls-alpn-01 (RFC 8737), for addresses RFC 8738 §6: the certificate that is shown is looked at letter by letter.

Self-signed, `acme-tls/1` negotiated, subjectAltName with the identifier alone, the acmeIdentifier extension critical
and holding the digest: no more and no less. Nothing is sent after the handshake.
"""

import asyncio
import hashlib
import ssl
from functools import cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from certd.devca.options import Options
from certd.devca.places import addresses_of, source_for
from certd.devca.problems import Refused, refused
from certd.devca.records import Identifier

PROTOCOL = "acme-tls/1"
ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
SAN_OID_DER = bytes.fromhex("0603551d11")


async def look_by_tls_alpn(options: Options, identifier: Identifier, token: str, expected: str, source: str) -> None:
    """Shake hands from *source*. Raises Refused with `connection`, `tls`, `dns` or `unauthorized`."""
    del token
    if identifier.type == "ip":
        addresses = [identifier.value]
        # RFC 8738 §6: the SNI is the reverse name, without its last dot.
        name = ip_address(identifier.value).reverse_pointer
    else:
        addresses, name = addresses_of(identifier.value, options.addresses), identifier.value
    *first, last = addresses
    for address in first:
        try:
            protocol, der = await _shake(options, address, name, source)
            break
        except Refused as refusal:
            if refusal.problem.type != "connection":
                raise
    else:
        address = last
        protocol, der = await _shake(options, address, name, source)
    if protocol != PROTOCOL:
        detail = f'Cannot negotiate ALPN protocol "{PROTOCOL}" for tls-alpn-01 challenge'
        raise refused("unauthorized", f"{address}: {detail}")
    if (objection := _objection(der, identifier, expected)) is not None:
        detail = f"Incorrect validation certificate for tls-alpn-01 challenge. Requested {name} from {address}"
        raise refused("unauthorized", f"{detail}: {objection}")


async def _shake(options: Options, address: str, name: str, source: str) -> tuple[str | None, bytes]:
    """The protocol agreed on and the certificate shown, DER."""
    try:
        async with asyncio.timeout(options.validation_limit.total_seconds()):
            _, writer = await asyncio.open_connection(
                address,
                options.tls_port,
                ssl=_context(),
                server_hostname=name,
                local_addr=source_for(address, source),
                ssl_handshake_timeout=options.validation_limit.total_seconds(),
            )
    except ssl.SSLError as error:
        raise refused("tls", f"{address}: {error.reason or error}") from None
    except TimeoutError:
        raise refused("connection", f"{address}: Timeout during connect (likely firewall problem)") from None
    except OSError as error:
        raise refused("connection", f"{address}: {error.strerror or error}") from None
    connection = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return connection.selected_alpn_protocol(), connection.getpeercert(binary_form=True) or b""


@cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([PROTOCOL])
    return context


def _objection(  # noqa: PLR0911 - a rule, a return
    der: bytes, identifier: Identifier, expected: str
) -> str | None:
    """What is wrong with the certificate, or None."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = certificate.extensions  # raises for one that stands there twice
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        return "not self-signed"
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        return f"not a certificate one could check: {error}"
    try:
        extensions.get_extension_for_class(x509.SubjectAlternativeName)
        proof = extensions.get_extension_for_oid(ACME_IDENTIFIER)
    except x509.ExtensionNotFound as error:
        return f"required extension {error.oid.dotted_string} is not present"
    if not _names_only(certificate.tbs_certificate_bytes, identifier):
        return f"subjectAltName is not {identifier.value} alone, byte for byte"
    if not proof.critical:
        return "the acmeIdentifier extension is not critical"
    digest = hashlib.sha256(expected.encode()).digest()
    shown = proof.value.value if isinstance(proof.value, x509.UnrecognizedExtension) else b""
    if shown != b"\x04\x20" + digest:
        return f"the acmeIdentifier extension holds {shown.hex()}, not 0420{digest.hex()}"
    return None


def _names_only(tbs: bytes, identifier: Identifier) -> bool:
    """Whether subjectAltName, critical or not, is encoded as this one name: Boulder compares octets."""
    if identifier.type == "ip":
        name = _der(0x87, ip_address(identifier.value).packed)
    else:
        name = _der(0x82, identifier.value.encode())
    value = _der(0x04, _der(0x30, name))
    return any(_der(0x30, SAN_OID_DER + critical + value) in tbs for critical in (b"", b"\x01\x01\xff"))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content
