"""Link headers (RFC 8288) as RFC 8555 uses them: alternate, help, next, terms-of-service, up.

Targets are resolved against the URL of the reply, and are not to be trusted: what is fetched goes through `Origin`.
"""

import re
from collections.abc import Sequence

from certd.ca.origin import resolve

MOST_LINKS = 64
_LONGEST = 16 * 1024

# One pass, no backtracking: each alternative begins with another character. A quote that is not closed ends nothing.
_LINK = re.compile(
    r"<([^<>]{1,2048})>((?:\s*;\s*[A-Za-z0-9*_-]{1,32}(?:\s*=\s*(?:\"[^\"]{0,512}\"|[^\s\",;]{0,512}))?)*)"
)
_PARAMETER = re.compile(r";\s*([A-Za-z0-9*_-]{1,32})(?:\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]*)))?")


def links(headers: Sequence[str], relation: str, base: str) -> tuple[str, ...]:
    """The targets with *relation* among their `rel`, in order, each once; at most MOST_LINKS are looked at."""
    found: dict[str, None] = {}
    looked_at = 0
    for header in headers:
        for link in _LINK.finditer(header[:_LONGEST]):
            looked_at += 1
            if looked_at > MOST_LINKS:
                return tuple(found)
            if relation in _relations(link.group(2)) and (target := resolve(link.group(1), base)):
                found[target] = None
    return tuple(found)


def _relations(parameters: str) -> list[str]:
    # RFC 8288 §3.3: the first rel counts, later ones are ignored; relation types are case-insensitive.
    for parameter in _PARAMETER.finditer(parameters):
        name, quoted, bare = parameter.groups("")
        if name.lower() == "rel":
            return (quoted or bare).lower().split()
    return []
