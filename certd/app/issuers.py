"""Short names of CAs, and what `--server` means."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from certd.model.acme import IssuerId
from certd.model.errors import ConfigError

#: The embedded CA in this process; its directory URL is known once it runs.
DEV = "dev"
DEV_TITLE = "the embedded CA"


@dataclass(frozen=True, slots=True)
class KnownServer:
    """`is_public`: what it issues is trusted by browsers, so that only public names can be asked for."""

    title: str
    directory: str
    is_public: bool = True


KNOWN: dict[str, KnownServer] = {
    "letsencrypt": KnownServer("Let's Encrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    "letsencrypt-staging": KnownServer(
        "Let's Encrypt staging", "https://acme-staging-v02.api.letsencrypt.org/directory", is_public=False
    ),
    "zerossl": KnownServer("ZeroSSL", "https://acme.zerossl.com/v2/DV90"),
    "google": KnownServer("Google Trust Services", "https://dv.acme-v02.api.pki.goog/directory"),
    "google-staging": KnownServer("Google staging", "https://dv.acme-v02.test-api.pki.goog/directory", is_public=False),
    "sslcom": KnownServer("SSL.com", "https://acme.ssl.com/sslcom-dv-ecc"),
    "actalis": KnownServer("Actalis", "https://acme-api.actalis.com/acme/directory"),
}
_PUBLIC_HOSTS = frozenset(urlsplit(server.directory).hostname for server in KNOWN.values() if server.is_public)


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

    @property
    def is_public(self) -> bool:
        """One of those that browsers trust, under whichever of its URLs."""
        return urlsplit(self.directory).hostname in _PUBLIC_HOSTS


def parse_server(text: str, ca_bundle: Path | None) -> Issuer:
    """A short name or an https directory URL. Raises ConfigError."""
    if text.lower() == DEV:
        return Issuer(IssuerId(DEV), DEV_TITLE, "", ca_bundle)
    if known := KNOWN.get(text.lower()):
        return Issuer(IssuerId(known.directory), known.title, known.directory, ca_bundle)
    if "://" not in text:
        raise _no_server(text)
    url = _split(text)
    if url.scheme == "http":
        raise ConfigError(
            f"{text}: ACME is spoken over https only (RFC 8555 §6.1)",
            hint="use the CA's https URL; for a private CA give its root with --ca-bundle FILE",
        )
    if url.scheme != "https" or not url.hostname:
        raise ConfigError(f"{text}: a CA's directory URL begins with https:// and a host")
    return Issuer(IssuerId(text), title_of(IssuerId(text)), text, ca_bundle)


def title_of(issuer: IssuerId) -> str:
    """How people call it: `Let's Encrypt`, or the host of its URL."""
    if issuer == DEV:
        return DEV_TITLE
    known = next((server.title for server in KNOWN.values() if server.directory == issuer), None)
    return known or urlsplit(issuer).netloc or issuer


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port  # its range is checked when it is asked for
    except ValueError as error:
        raise ConfigError(f"{text}: not a URL: {str(error).lower()}") from error
    return url


def _no_server(text: str) -> ConfigError:
    import difflib  # noqa: PLC0415 - for mistakes only

    names = [*KNOWN, DEV]
    near = difflib.get_close_matches(text.lower(), names, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    if "." in text or "/" in text:
        meant = f"did you mean https://{text}? "
    return ConfigError(
        f"{text!r} is not a CA that certd knows by name",
        hint=f"{meant}there are {', '.join(names)}, and every directory URL (https://…)",
    )
