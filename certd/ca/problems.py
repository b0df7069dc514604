"""Problem documents (RFC 7807, RFC 8555 §6.7), read as leniently as can be: an error must never hide behind another.

HTML from a front end, an empty body, text that is not UTF-8, wrong types: each is a Problem with its HTTP status.
"""

import json
import re
from datetime import datetime
from typing import Any

from certd.ca.links import links
from certd.ca.retry_after import parse_http_date, parse_retry_after
from certd.ca.text import LONGEST_WORD, clean
from certd.ca.transport import Reply
from certd.model.identifiers import Identifier, IdentifierType
from certd.model.problems import Problem

_MOST_SUBPROBLEMS = 200
_MOST_ALGORITHMS = 32
_DEEPEST = 2  # subproblems of subproblems are told, those below are not

# ACME before it was an RFC; some front ends still say it so.
_OLD_URN = re.compile(r"^urn:(?:acme|ietf:params:acme):error:", re.IGNORECASE)


def read_problem(reply: Reply, now: datetime) -> Problem:
    """The problem in a reply with an error status. Never raises."""
    fields = _fields(reply.body)
    retry_after = parse_retry_after(reply.header("Retry-After"), now, parse_http_date(reply.header("Date")))
    if fields is None:
        return Problem(
            status=reply.status, detail=_not_a_problem(reply), help_url=_help(reply), retry_after=retry_after
        )
    problem = _problem(fields, reply.status, _DEEPEST)
    return Problem(
        type=problem.type,
        detail=problem.detail,
        status=reply.status,
        identifier=problem.identifier,
        subproblems=problem.subproblems,
        algorithms=problem.algorithms,
        instance=_instance(fields, reply),
        help_url=_help(reply),
        retry_after=retry_after,
    )


def problem_in_object(value: object) -> Problem | None:
    """The `error` of an order or challenge (§7.1.3, §8); None for what is no object."""
    if not isinstance(value, dict):
        return None
    status = value.get("status")
    return _problem(value, status if isinstance(status, int) and 0 <= status < 1000 else 0, _DEEPEST)


def _problem(fields: dict[str, Any], status: int, depth: int) -> Problem:
    return Problem(
        type=_type(fields),
        detail=_text(fields, "detail", 2048) or _text(fields, "title", LONGEST_WORD),
        status=status,
        identifier=read_identifier_leniently(fields.get("identifier")),
        subproblems=_subproblems(fields, depth - 1) if depth else (),
        algorithms=_algorithms(fields),
    )


def _subproblems(fields: dict[str, Any], depth: int) -> tuple[Problem, ...]:
    found = fields.get("subproblems")
    if not isinstance(found, list):
        return ()
    return tuple(_problem(sub, 0, depth) for sub in found[:_MOST_SUBPROBLEMS] if isinstance(sub, dict))


def _fields(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body.decode("utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _type(fields: dict[str, Any]) -> str:
    text = _text(fields, "type", LONGEST_WORD)
    return _OLD_URN.sub("urn:ietf:params:acme:error:", text) or "about:blank"


def _text(fields: dict[str, Any], name: str, limit: int) -> str:
    value = fields.get(name)
    return clean(value, limit) if isinstance(value, str) else ""


def _algorithms(fields: dict[str, Any]) -> tuple[str, ...]:
    found = fields.get("algorithms")
    if not isinstance(found, list):
        return ()
    return tuple(clean(name, 32) for name in found[:_MOST_ALGORITHMS] if isinstance(name, str))


def _instance(fields: dict[str, Any], reply: Reply) -> str:
    """Where a person shall go (§7.3.3): the instance, else the new terms. https only; shown, never fetched."""
    instance = _text(fields, "instance", LONGEST_WORD * 2)
    return instance if instance.startswith("https://") else _first_https(reply, "terms-of-service")


def _help(reply: Reply) -> str:
    return _first_https(reply, "help")


def _first_https(reply: Reply, relation: str) -> str:
    found = links(reply.all("Link"), relation, reply.url)
    return next((clean(target, LONGEST_WORD * 2) for target in found if target.startswith("https://")), "")


def _not_a_problem(reply: Reply) -> str:
    if not reply.body:
        return f"HTTP {reply.status} and nothing else"
    kind = clean(reply.header("Content-Type") or "no content type", 64).split(";")[0]
    return f"HTTP {reply.status} with {kind} instead of a problem document"


def read_identifier_leniently(value: object) -> Identifier | None:
    """An identifier object; None for what is none, or is of a type that certd does not know."""
    if not isinstance(value, dict):
        return None
    kind, text = value.get("type"), value.get("value")
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_WORD:
        return None
    match kind:
        case "dns":
            return Identifier(IdentifierType.DNS, clean(text).lower().removesuffix("."))
        case "ip":
            return Identifier(IdentifierType.IP, _address(text))
        case _:
            return None


def _address(text: str) -> str:
    """In RFC 5952 form, as `certd.model.identifiers` keeps it; unreadable ones stay as they are, and match nothing."""
    import ipaddress  # noqa: PLC0415 - only orders with addresses need it

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return clean(text)
