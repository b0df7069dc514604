"""Identifiers and names (RFC 8555 §7.1.3, §9.7.7; RFC 8738; RFC 5890).

Text from people becomes an `Identifier` here and nowhere else, so that `WWW.Example.org.`, `münchen.example` and
`2001:DB8::0:1` have one form in orders, CSRs, the ledger and on disk.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NewType

from certd.model.errors import ConfigError
from certd.model.mistakes import Checks

CertName = NewType("CertName", str)

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_SEPARATORS = re.compile(r"[\s,;]+")
_WILDCARD = "_wildcard."
_LONGEST_NAME = 253
_LONGEST_FILE_NAME = 200


class IdentifierType(Enum):
    DNS = "dns"
    IP = "ip"


@dataclass(frozen=True, slots=True)
class Identifier:
    """`value`: lower-case A-labels without trailing dot (perhaps with a leading `*.`), or RFC 5952 address text."""

    type: IdentifierType
    value: str

    @property
    def is_wildcard(self) -> bool:
        return self.value.startswith("*.")

    @property
    def base(self) -> str:
        """The value without `*.`: what an authorization and a DNS record name (RFC 8555 §7.1.4)."""
        return self.value.removeprefix("*.")

    def __str__(self) -> str:
        return self.value


def parse_identifier(text: str) -> Identifier:
    """Read a host name, wildcard, IDN or IP address as a person types it.

    Raises ConfigError, naming *text*, for anything that no CA could certify.
    """
    stripped = text.strip()
    bare = stripped[1:-1] if stripped.startswith("[") and stripped.endswith("]") and ":" in stripped else stripped
    if ":" in bare or _looks_like_ipv4(bare):
        return Identifier(IdentifierType.IP, _address(text, bare))
    return Identifier(IdentifierType.DNS, _host_name(text, bare))


def parse_identifiers(texts: Iterable[str]) -> tuple[Identifier, ...]:
    """Read all; the same name written twice counts once; raises every mistake at once."""
    checks = Checks()
    found = [checks.of(parse_identifier, text) for text in texts]
    checks.verdict()
    return tuple(dict.fromkeys(identifier for identifier in found if identifier is not None))


def set_key(identifiers: Iterable[Identifier]) -> str:
    """One text for an identifier set, whatever its order: the key of claims and of the CA's duplicate limit."""
    return ",".join(sorted(f"{i.type.value}:{i.value}" for i in identifiers))


def from_set_key(key: str) -> tuple[Identifier, ...]:
    """The identifiers of a `set_key`, sorted."""
    parts = (part.split(":", 1) for part in key.split(","))
    return tuple(Identifier(IdentifierType(kind), value) for kind, value in parts)


def default_name(identifiers: Sequence[Identifier]) -> CertName:
    """A certificate's name unless one is given: its first identifier (design 2)."""
    return CertName(identifiers[0].value)


def file_name(name: CertName) -> str:
    """The name as one path component: a leading `*.` → `_wildcard.`, an IPv6 address's `:` → `-`.

    Two names never share a component: a name that reads like the component of another is refused. Raises ConfigError
    for those, and for what could leave its directory or hide in it.
    """
    component = _component(name)
    if not _COMPONENT.fullmatch(component) or ".." in component:
        raise ConfigError(f"{name!r} cannot be a certificate's name: use letters, digits, '.', '-' and '_'")
    if len(component) > _LONGEST_FILE_NAME:
        raise ConfigError(
            f"{name[:40]}…: a certificate's name has at most {_LONGEST_FILE_NAME} characters", hint="give --name"
        )
    return component


def _component(name: CertName) -> str:
    if name.startswith("*."):
        return f"{_WILDCARD}{name[2:]}"
    if _is_ipv6(name):
        # `::1` would begin with a dash, which commands take for an option. RFC 5952 §4.2 writes no address as `0::…`.
        return f"{'0' if name.startswith(':') else ''}{name}".replace(":", "-")
    shown = name.replace("-", ":")
    if name.startswith(_WILDCARD) or _is_ipv6(shown[1:] if shown.startswith("0::") else shown):
        raise ConfigError(
            f"{name!r} cannot be a certificate's name: on disk it would be taken for a wildcard's or an address's",
            hint="give another --name",
        )
    return name


def _is_ipv6(text: str) -> bool:
    """In the one form that `parse_identifier` makes."""
    try:
        return ":" in text and str(ipaddress.IPv6Address(text)) == text
    except ValueError:
        return False


def _looks_like_ipv4(text: str) -> bool:
    # The last label of a host name is never numeric (RFC 3696 §2): 1.2.3.999 is a bad address, not a name.
    last = text.rstrip(".").rsplit(".", 1)[-1]
    return last.isascii() and last.isdigit()


def _address(text: str, bare: str) -> str:
    if "%" in bare:
        raise ConfigError(f"{text!r}: an address with a zone (%…) is local to one link and cannot be certified")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ConfigError(f"{text!r} is neither a host name nor an IP address", hint=_meant(text)) from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ConfigError(f"{text!r}: write the IPv4 address {address.ipv4_mapped} instead of its IPv6-mapped form")
    return str(address)


def _host_name(text: str, bare: str) -> str:
    wildcard, rest = ("*.", bare[2:]) if bare.startswith("*.") else ("", bare)
    name = _a_labels(text, rest.removesuffix("."))
    labels = name.split(".")
    if "*" in name:
        raise ConfigError(f"{text!r}: '*' may only be the whole first label, as in *.example.org", hint=_meant(text))
    # A full-width digit is mapped to its ASCII one (UTS 46), so an address can appear only here.
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels) or _looks_like_ipv4(name):
        raise ConfigError(f"{text!r} is not a host name", hint=_meant(text))
    return wildcard + name


def _meant(text: str) -> str:
    """What people mean who paste a list, a URL, a mail address or a port; empty where that is no name either."""
    if len(parts := [part for part in _SEPARATORS.split(text) if part]) > 1:
        names, why = parts, "each name has an option of its own"
    else:
        rest = text.strip().rpartition("://")[2].partition("/")[0].rpartition("@")[2].strip(".")
        names, why = [rest.partition(":")[0] if rest.count(":") == 1 else rest], "the name alone"
    if names == [text.strip()] or not all(map(_is_name, names)):
        return ""
    return f"did you mean {' '.join(f'-d {_quoted(name)}' for name in names)}? ({why})"


def _is_name(text: str) -> bool:
    try:
        return bool(parse_identifier(text))
    except ConfigError:
        return False


def _quoted(name: str) -> str:
    return f"'{name}'" if "*" in name else name


def _a_labels(text: str, name: str) -> str:
    if name.isascii() and "xn--" not in name.lower():
        return name.lower()
    import idna  # noqa: PLC0415 - 20 ms that only internationalised names need

    try:
        return idna.encode(name, uts46=True, transitional=False).decode("ascii")
    except idna.IDNAError as why:
        raise ConfigError(f"{text!r} is not an internationalised host name: {why}") from None


__all__ = [
    "CertName",
    "Identifier",
    "IdentifierType",
    "default_name",
    "file_name",
    "from_set_key",
    "parse_identifier",
    "parse_identifiers",
    "set_key",
]
