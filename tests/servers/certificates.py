"""Throw-away certificates for test servers on loopback: a root for each server that starts, and what hangs under it.

A client that trusts such a root and gets an answer talks to this server and to no other. P-256, strict (RFC 5280 as
OpenSSL's X509_V_FLAG_X509_STRICT reads it), valid for a week.
"""

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
LIFETIME = timedelta(days=7)
PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key; an issuer too where its basic constraints say so."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def write(self, folder: Path, stem: str) -> tuple[Path, Path]:
        """`STEM.pem` and `STEM-key.pem` in *folder*."""
        certificate, key = folder / f"{stem}.pem", folder / f"{stem}-key.pem"
        certificate.write_bytes(self.certificate.public_bytes(PEM))
        key.touch(mode=0o600)
        key.write_bytes(self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return certificate, key


@dataclass(frozen=True, slots=True)
class ApiCertificate:
    """PEM files: a server's certificate and key, and the root to trust."""

    certificate: Path
    key: Path
    root: Path


def api_certificate(folder: Path) -> ApiCertificate:
    """Write root, certificate and key for a server on loopback into *folder*."""
    root = new_root("test API root")
    certificate, key = new_server(root).write(folder, "api")
    return ApiCertificate(certificate, key, root.write(folder, "api-root")[0])


def new_root(name: str) -> Issued:
    """A root of its own name each time: those of several servers stand together in one bundle."""
    return _issue(_subject(f"{name} {x509.random_serial_number():x}"[:64]), None, _authority(path_length=None))


def new_intermediate(name: str, under: Issued) -> Issued:
    return _issue(_subject(name), under, _authority(path_length=0))


def new_server(under: Issued, *names: str) -> Issued:
    """For *names*, hosts and addresses; without any for loopback."""
    alternatives = x509.SubjectAlternativeName([_general_name(each) for each in names or LOOPBACK_NAMES])
    extensions = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (alternatives, True),  # critical, because the subject is empty
    ]
    return _issue(x509.Name([]), under, extensions)


def _issue(subject: x509.Name, under: Issued | None, extensions: list[tuple[x509.ExtensionType, bool]]) -> Issued:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    issuer_name, issuer_key = (under.certificate.subject, under.key) if under else (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Issued(builder.sign(issuer_key, hashes.SHA256()), key)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _authority(path_length: int | None) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (_key_usage(key_cert_sign=True, crl_sign=True), True),
    ]


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
