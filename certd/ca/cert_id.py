"""The name of a certificate in ARI (RFC 9773 §4.1): a pure function of its DER."""

from cryptography import x509

from certd.ca.wire import b64url
from certd.model.acme import CertId


def cert_id(leaf_der: bytes) -> CertId | None:
    """base64url(authority key identifier) "." base64url(serial). None: it has no such identifier, so no ARI.

    §4.1: the serial is the content of its DER INTEGER, so a leading zero octet stays (00:87:65:43:21 → `AIdlQyE`).
    """
    try:
        leaf = x509.load_der_x509_certificate(leaf_der)
        aki = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        serial = leaf.serial_number
    except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    if not aki:
        return None
    content = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
    return CertId(f"{b64url(aki)}.{b64url(content)}")
