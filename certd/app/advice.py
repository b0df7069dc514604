"""What a person can do about a validation that failed, by what the CA said of it and by what this host knows of itself.

Only advice: nothing is decided by it. The CA's text is looked at for one thing, the address that it asked, which
Boulder, Pebble and devca put first.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

from certd.issue.ports import Progress
from certd.model.acme import ChallengeType
from certd.model.errors import ChallengeFailed
from certd.model.identifiers import Identifier
from certd.model.problems import Problem

_ASKED = re.compile(r"\[?([0-9A-Fa-f:.]+)\]?: ", re.ASCII)
_MOST_ADDRESSES = 4

_OTHER_SERVER = {
    ChallengeType.HTTP_01: "another server answered in certd's place: if it is this host's, see --webroot and "
    "--http-address",
    ChallengeType.TLS_ALPN_01: "another server answered in certd's place: see --tls-address, or --challenge http-01",
    ChallengeType.DNS_01: "the CA sees other records than certd wrote: are all name servers of the zone up to date?",
}
_NO_CONNECTION = {
    ChallengeType.HTTP_01: "CAs come to port 80 of each name: is it open to them, and does it lead to this host?",
    ChallengeType.TLS_ALPN_01: "CAs come to port 443 of each name: is it open to them, and does it lead to this host?",
    ChallengeType.DNS_01: "CAs ask the zone's name servers: can all of them be reached from the Internet?",
}
_NO_NAME = "each name needs an A or AAAA record that leads to this host"

_ADVICE: Mapping[str, Mapping[ChallengeType, str]] = {
    "unauthorized": _OTHER_SERVER,
    "incorrectResponse": _OTHER_SERVER,
    "connection": _NO_CONNECTION,
    "tls": {ChallengeType.TLS_ALPN_01: _NO_CONNECTION[ChallengeType.TLS_ALPN_01]},
    "dns": {
        ChallengeType.HTTP_01: _NO_NAME,
        ChallengeType.TLS_ALPN_01: _NO_NAME,
        ChallengeType.DNS_01: "is the zone delegated, and signed correctly if it is signed?",
    },
    "caa": dict.fromkeys(ChallengeType, "a CAA record of the name, or of a domain above it, names other CAs"),
}


class Remembered:
    """A `Progress` that remembers by which challenge each name is validated."""

    def __init__(self, progress: Progress) -> None:
        self.types: dict[Identifier, ChallengeType] = {}
        self._progress = progress

    def validating(self, identifier: Identifier, type_: ChallengeType) -> None:
        self.types[identifier] = type_
        self._progress.validating(identifier, type_)

    def valid(self, identifiers: Mapping[Identifier, ChallengeType | None]) -> None:
        self._progress.valid(identifiers)

    def failed(self, identifier: Identifier) -> None:
        self._progress.failed(identifier)

    def note(self, text: str) -> None:
        self._progress.note(text)


def with_advice(
    failure: ChallengeFailed,
    types: Mapping[Identifier, ChallengeType],
    own: Sequence[str],
    webroot: Path | None = None,
) -> ChallengeFailed:
    """*failure* with what was tried, a line for each name where the CA asked somebody else, and hints.

    *types*: how each name was validated. *own*: this host's addresses. *webroot*: where http-01 answers were put.
    """
    named = {f"{identifier}: ": (identifier, problem) for identifier, problem in failure.failed}
    lines: list[str] = []
    for line in str(failure).split("\n"):
        start = next((start for start in named if line.startswith(start)), None)
        if start is None:
            lines.append(line)
            continue
        identifier, problem = named.pop(start)
        how = f"{types[identifier].value} failed: " if identifier in types else ""
        lines.append(f"{start}{how}{line.removeprefix(start)}")
        if elsewhere := asked_elsewhere(problem, own):
            lines.append(f"  {elsewhere}")
    hints = [
        _hint(problem, types[identifier], webroot) for identifier, problem in failure.failed if identifier in types
    ]
    hint = "\n".join(dict.fromkeys(filter(None, [*hints, failure.hint])))
    return ChallengeFailed("\n".join(lines), failed=failure.failed, hint=hint)


def _hint(problem: Problem, type_: ChallengeType, webroot: Path | None) -> str:
    advice = _ADVICE.get(problem.kind, {})
    if advice is _OTHER_SERVER and type_ is ChallengeType.HTTP_01 and webroot is not None:
        return f"the server for port 80 does not show what certd wrote below {webroot}: is that its root for this name?"
    return advice.get(type_, "")


def asked_elsewhere(problem: Problem, own: Sequence[str]) -> str:
    """Whether the address that the CA asked is none of ours, as far as its text tells; empty for no."""
    found = _ASKED.match(problem.detail)
    try:
        asked = ip_address(found[1]) if found else None
    except ValueError:
        asked = None
    if asked is None or asked.is_loopback or not own or str(asked) in own:
        return ""
    more = ", …" if len(own) > _MOST_ADDRESSES else ""
    return (
        f"the CA asked {asked}, which is none of this host's addresses ({', '.join(own[:_MOST_ADDRESSES])}{more}): "
        "is there a NAT or proxy in front?"
    )
