"""Which URLs certd goes to: https, on the host and port of the CA's directory, and nothing else (RFC 8555 §6.1).

A CA names every URL of the conversation, so a hostile or broken one could send certd to a metadata service or down to
plain http (lego's CVE-2025-54799). Checked when a URL is read, and again by the transport, which opens the connection.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urljoin

from yarl import URL

from certd.ca.text import clean
from certd.model.errors import CaProtocolError, ConfigError

LONGEST_URL = 2048

# What RFC 3986 lets stand in a URL, without the fragment (which is never sent) and the backslash (which some parsers
# take for a slash). The authority is matched apart, so that no two parsers can disagree about the host.
_URL = re.compile(
    r"https://(?P<authority>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?",
    re.ASCII,
)
_DEFAULT_PORT = 443


@dataclass(frozen=True, slots=True)
class Origin:
    """The host (lower case) and port of a directory."""

    host: str
    port: int

    @classmethod
    def of_directory(cls, url: str) -> "Origin":
        """The origin of a directory URL from the configuration. Raises ConfigError."""
        if url[:5].lower() == "http:":
            raise ConfigError(
                f"{clean(url, 200)}: ACME is spoken over https only (RFC 8555 §6.1)",
                hint="use the CA's https URL; for a private CA give its root with --ca-bundle FILE",
            )
        found = _split(url)
        if found is None:
            raise ConfigError(f"{clean(url, 200)!r} is not the https URL of an ACME directory")
        return cls(*found)

    def check(self, url: str, what: str) -> str:
        """*url*, unchanged, if it is on this origin; raises CaProtocolError naming *what* it was."""
        if _split(url) != (self.host, self.port):
            raise CaProtocolError(
                f"{what}: the CA names a URL that is not on its own origin https://{self}: {clean(url, 200)!r}",
                hint="certd goes nowhere else, so that a CA cannot send it there (RFC 8555 §6.1)",
            )
        return url

    def __str__(self) -> str:
        return self.host if self.port == _DEFAULT_PORT else f"{self.host}:{self.port}"


def exact(url: str) -> URL:
    """For aiohttp: requested exactly as it is written, because the JWS `url` says it so (§6.4).

    A plain URL() turns `%41` into `A` and `%2f` into `%2F`; even an encoded one drops a `?` at the end, unless that
    stands in what it takes for the path.
    """
    if url.endswith("?"):
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        return URL.build(scheme=scheme, authority=authority, path=slash + path, encoded=True)
    return URL(url, encoded=True)


def resolve(reference: str, base: str) -> str:
    """A Location or Link target as a URL, exactly the server's string when it is absolute; not checked yet."""
    if reference.startswith("https://"):
        return reference
    try:
        return urljoin(base, reference)
    except ValueError:
        return ""


@lru_cache(maxsize=1024)
def _split(url: str) -> tuple[str, int] | None:
    if len(url) > LONGEST_URL:
        return None
    found = _URL.fullmatch(url)
    if found is None:
        return None
    port = int(found["port"] or _DEFAULT_PORT)
    return (found["authority"].lower(), port) if 0 < port < 1 << 16 else None
