"""Certificates for fake CAs' own API: good ones and those that certd must not talk to."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class ApiTls:
    """A self-signed certificate for the API, its own root."""

    context: ssl.SSLContext
    root: Path


def api_tls(
    folder: Path, *, name: str = "127.0.0.1", days: tuple[int, int] = (-1, 30), newest: ssl.TLSVersion | None = None
) -> ApiTls:
    """A server context and the root to trust; *newest*: the highest TLS version that the server speaks."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)  # the peer's TLS library knows no other clock
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake CA's API")])
    try:
        san: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        san = x509.DNSName(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([san]), critical=False)
        .sign(key, hashes.SHA256())
    )
    root, private = folder / f"api-{name}-{days[1]}.pem", folder / f"api-{name}-{days[1]}.key"
    root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if newest is not None:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
        context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(root, private)
    return ApiTls(context, root)
