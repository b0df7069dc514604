"""Short names of CAs, and what `--server` means."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from certd.model.acme import IssuerId
from certd.model.errors import ConfigError

#: The embedded CA in this process; its directory URL is known once it runs.
DEV = "dev"
DEV_TITLE = "the embedded CA"


@dataclass(frozen=True, slots=True)
class KnownServer:
    title: str
    directory: str


KNOWN: dict[str, KnownServer] = {
    "letsencrypt": KnownServer("Let's Encrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    "letsencrypt-staging": KnownServer(
        "Let's Encrypt staging", "https://acme-staging-v02.api.letsencrypt.org/directory"
    ),
    "zerossl": KnownServer("ZeroSSL", "https://acme.zerossl.com/v2/DV90"),
    "google": KnownServer("Google Trust Services", "https://dv.acme-v02.api.pki.goog/directory"),
    "google-staging": KnownServer("Google staging", "https://dv.acme-v02.test-api.pki.goog/directory"),
    "sslcom": KnownServer("SSL.com", "https://acme.ssl.com/sslcom-dv-ecc"),
    "actalis": KnownServer("Actalis", "https://acme-api.actalis.com/acme/directory"),
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA as chosen on the command line. `trust`: PEM roots for its API, instead of the system's.

    `id` is what the ledger knows it by: its directory URL, but `dev` for the embedded CA, whose port may change.
    """

    id: IssuerId
    title: str
    directory: str
    trust: Path | None = None

    @property
    def is_dev(self) -> bool:
        return self.id == DEV


def parse_server(text: str, ca_bundle: Path | None) -> Issuer:
    """A short name or an https directory URL. Raises ConfigError."""
    if text.lower() == DEV:
        return Issuer(IssuerId(DEV), DEV_TITLE, "", ca_bundle)
    if known := KNOWN.get(text.lower()):
        return Issuer(IssuerId(known.directory), known.title, known.directory, ca_bundle)
    url = urlsplit(text)
    if url.scheme == "http":
        raise ConfigError(
            f"{text}: ACME is spoken over https only (RFC 8555 §6.1)",
            hint="use the CA's https URL; for a private CA give its root with --ca-bundle FILE",
        )
    if url.scheme != "https" or not url.hostname:
        raise ConfigError(
            f"{text!r} is neither a directory URL (https://…) nor one of {', '.join([*KNOWN, DEV])}",
        )
    return Issuer(IssuerId(text), url.netloc, text, ca_bundle)


def title_of(issuer: IssuerId) -> str:
    """How people call it: `Let's Encrypt`, or the host of its URL."""
    if issuer == DEV:
        return DEV_TITLE
    known = next((server.title for server in KNOWN.values() if server.directory == issuer), None)
    return known or urlsplit(issuer).netloc or issuer
