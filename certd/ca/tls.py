"""The TLS context for talking to a CA: 1.2 and newer, names and chains always verified.

Not ssl.create_default_context(): that one writes session keys to the file that SSLKEYLOGFILE names. Where the system's
roots are is OpenSSL's to say, SSL_CERT_FILE included: without it there are none on some systems.
"""

import ssl
from pathlib import Path

from certd.model.errors import ConfigError


def client_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Trust the system's roots, or only those in *ca_bundle* (PEM). Raises ConfigError for an unusable file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies names and chains unless told otherwise
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_bundle is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cafile=ca_bundle)
    except OSError as why:  # SSLError is one
        reason = "it is not a PEM file of certificates" if isinstance(why, ssl.SSLError) else why.strerror
        raise ConfigError(f"{ca_bundle}: cannot be used as the CA's root: {reason}") from None
    return context
