"""Which identifiers this CA takes: names that no public CA can issue for, and loopback addresses; nothing else."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from certd.devca.problems import Problem, Refused, problem, refused
from certd.devca.records import Identifier

#: RFC 6761 (test, localhost), RFC 8375 (home.arpa), ICANN's reservation of 2024 (internal).
SUFFIXES = ("test", "localhost", "internal", "home.arpa")
MOST = 100
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


def read_identifiers(given: Any) -> tuple[Identifier, ...]:
    """The identifiers of a newOrder, each once. Raises Refused with a subproblem for each bad one."""
    if not isinstance(given, list) or not given:
        raise refused("malformed", "identifiers: a list with at least one")
    if len(given) > MOST:
        raise refused("malformed", f"identifiers: {MOST} at most, not {len(given)}")
    found = tuple(dict.fromkeys(_identifier(each) for each in given))
    problems = [each for each in map(_objection, found) if each is not None]
    if len(problems) == 1:
        raise Refused(problems[0])
    if problems:
        detail = f"{len(problems)} of {len(found)} identifiers are not taken"
        raise refused("rejectedIdentifier", detail, subproblems=tuple(problems))
    _check_redundancy(found)
    return found


def _identifier(given: Any) -> Identifier:
    match given:
        case {"type": str(kind), "value": str(value)}:
            if kind not in ("dns", "ip"):
                raise refused("unsupportedIdentifier", f"identifiers of type {kind!r} are not taken; dns and ip are")
            return Identifier(kind, value)
        case _:
            raise refused("malformed", "identifiers: each has a type and a value")


def _objection(identifier: Identifier) -> Problem | None:
    kind, detail = (_name if identifier.type == "dns" else _address)(identifier.value)
    return problem(kind, f"{identifier.value}: {detail}", identifier=identifier.document()) if kind else None


def _name(value: str) -> tuple[str, str]:  # noqa: PLR0911 - a rule, a return
    base = value.removeprefix("*.")
    labels = base.split(".")
    if "*" in base:
        return "malformed", "a wildcard is the whole first label, once"
    if value != value.lower():
        return "malformed", "names are sent in lower case"
    if len(value) > 253 or not all(LABEL.fullmatch(each) for each in labels):
        return "malformed", "not a DNS name (A-labels, no last dot)"
    try:
        ip_address(base)
    except ValueError:
        pass
    else:
        return "malformed", "an address is an identifier of type ip"
    if not reserved(base):
        suffixes = ", ".join(f".{each}" for each in SUFFIXES)
        return "rejectedIdentifier", f"this is a test CA, it takes {suffixes} and loopback addresses only"
    if base in SUFFIXES and (base != "localhost" or value != base):
        return "rejectedIdentifier", "a whole top level"
    return "", ""


def _address(value: str) -> tuple[str, str]:
    try:
        address = ip_address(value)
    except ValueError:
        return "malformed", "not an IP address"
    # Before its form is looked at: Python 3.13 writes mapped addresses in another way than 3.12.
    if not address.is_loopback or getattr(address, "ipv4_mapped", None):
        return "rejectedIdentifier", "this is a test CA, it takes loopback addresses only"
    if str(address) != value or "%" in value:
        return "malformed", "not as RFC 8738 §3 wants it written (RFC 5952, no zone)"
    return "", ""


def reserved(name: str) -> bool:
    """Whether *name* lies under one of the suffixes."""
    return any(name == each or name.endswith(f".{each}") for each in SUFFIXES)


def _check_redundancy(found: Iterable[Identifier]) -> None:
    wildcards = {each.base for each in found if each.wildcard}
    for each in found:
        if each.type == "dns" and not each.wildcard and each.value.partition(".")[2] in wildcards:
            raise refused("malformed", f"{each.value} is redundant beside *.{each.value.partition('.')[2]}")
