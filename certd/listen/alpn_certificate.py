"""The certificate that answers tls-alpn-01 (RFC 8737 §3), and the TLS context that shows it.

Nothing is in it but what the RFC asks for: one SAN entry, and the critical acmeIdentifier extension. Its key exists in
memory alone: it proves nothing (validators ignore the signature's worth), but a key file on disk is a key file on disk.
"""

import hashlib
import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from certd.model.clock import Clock
from certd.model.identifiers import Identifier, IdentifierType
from certd.model.proofs import Proof

ACME_TLS_1 = "acme-tls/1"
#: id-pe-acmeIdentifier, RFC 8737 §6.1. The drafts' 1.3.6.1.5.5.7.1.30.1 is refused by every CA since 2022.
ACME_IDENTIFIER = ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME tls-alpn-01 challenge")])
_LIFETIME = timedelta(days=30)  # longer than any order lives
_SKEW = timedelta(days=1)
_MOST_CONTEXTS = 256


@dataclass(frozen=True, slots=True)
class AlpnCertificate:
    """`der`: the certificate. `pem`: private key (PKCS#8) and certificate, for what serves it."""

    der: bytes
    pem: bytes = field(repr=False)


def make_certificate(proof: Proof, now: datetime) -> AlpnCertificate:
    """A fresh self-signed certificate for the tls-alpn-01 *proof* (EC P-256, valid around *now*)."""
    key = ec.generate_private_key(ec.SECP256R1())
    digest = hashlib.sha256(proof.value.encode("ascii")).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_SUBJECT)
        .issuer_name(_SUBJECT)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(proof.identifier)]), critical=False)
        # RFC 8737 §3: "The acmeIdentifier extension MUST be critical"; its value is the DER of an OCTET STRING (04)
        # of 32 bytes (20).
        .add_extension(x509.UnrecognizedExtension(ACME_IDENTIFIER, b"\x04\x20" + digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return AlpnCertificate(der, private + certificate.public_bytes(serialization.Encoding.PEM))


def _general_name(identifier: Identifier) -> x509.GeneralName:
    """RFC 8737 §3 "dNSName … containing the domain name being validated"; RFC 8738 §6 iPAddress for an address."""
    if identifier.type is IdentifierType.IP:
        return x509.IPAddress(ip_address(identifier.value))
    return x509.DNSName(identifier.value)


def server_context(certificate: AlpnCertificate) -> ssl.SSLContext:
    """A context that negotiates `acme-tls/1` with TLS 1.2 or later, shows *certificate* and resumes no session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # a resumed session would show no certificate
    context.set_alpn_protocols([ACME_TLS_1])
    with _as_file(certificate.pem) as path:
        context.load_cert_chain(path)
    return context


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path that reads *data*, because `load_cert_chain` takes paths alone: memory, or if need be a 0600 file."""
    try:
        descriptor = os.memfd_create("certd-tls-alpn-01", os.MFD_CLOEXEC)
    except (AttributeError, OSError):  # no Linux, or a sandbox that forbids it
        descriptor = -1
    if descriptor >= 0:
        with os.fdopen(descriptor, "wb") as memory:
            memory.write(data)
            memory.flush()
            path = f"/proc/self/fd/{descriptor}"
            if os.path.exists(path):  # noqa: PTH110 - /proc may not be mounted
                yield path
                return
    with tempfile.NamedTemporaryFile(prefix="certd-") as file:  # made with O_EXCL and mode 0600
        file.write(data)
        file.flush()
        yield file.name


class AlpnContexts:
    """Contexts by proof: made at the first question, kept while used, forgotten eldest first."""

    def __init__(self, clock: Clock, *, most: int = _MOST_CONTEXTS) -> None:
        self._clock = clock
        self._most = most
        self._made: OrderedDict[Proof, ssl.SSLContext] = OrderedDict()

    def context_for(self, proof: Proof) -> ssl.SSLContext:
        context = self._made.get(proof)
        if context is None:
            context = self._made[proof] = server_context(make_certificate(proof, self._clock.now()))
            if len(self._made) > self._most:
                self._made.popitem(last=False)
        self._made.move_to_end(proof)
        return context
