"""JSON from a CA as typed fields: bounded by the transport, strict about JSON, lenient about what is in it.

RFC 8555 §7.1: unknown fields are ignored. A required field that is missing or of another type is a CaProtocolError with
its path; an optional one of another type is as if it were absent. Nothing here recurses into what it does not read.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from certd.ca.origin import Origin
from certd.ca.text import LONGEST_WORD, clean
from certd.model.errors import CaProtocolError

_MOST_ITEMS = 10_000

# RFC 3339 §5.6; a time without a zone would be a guess. Seconds may be 60 in a leap second.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(\.\d{1,32})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def parse_json(body: bytes, what: str) -> Any:
    """The value in *body*; raises CaProtocolError for anything that two parsers could read in two ways."""
    try:
        text = body.decode("utf-8")  # RFC 8555 §5; json.loads would guess UTF-16 and UTF-32 as well
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise CaProtocolError(f"{what}: its JSON is nested too deeply") from None
    except UnicodeEncodeError:
        raise CaProtocolError(f"{what}: its JSON has half a character (a lone surrogate)") from None
    except UnicodeDecodeError:
        raise CaProtocolError(f"{what}: the reply is not UTF-8") from None
    except ValueError as why:
        raise CaProtocolError(f"{what}: the reply is not JSON: {clean(str(why), 200)}") from None
    return value


def parse_moment(text: str) -> datetime | None:
    """An RFC 3339 time as aware UTC; None for what is none, or lies outside 1970 … 2999."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    day, minute, second, fraction, zone = found.groups()
    second = min(second, "59")
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}{second}{(fraction or '')[:7]}{zone.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if _EARLIEST <= moment < _LATEST else None


class Document:
    """A JSON object with the name it has in messages, and the origin its URLs must have."""

    __slots__ = ("_fields", "origin", "what")

    def __init__(self, fields: Mapping[str, Any], what: str, origin: Origin) -> None:
        self._fields = fields
        self.what = what
        self.origin = origin

    @classmethod
    def parse(cls, body: bytes, what: str, origin: Origin) -> "Document":
        value = parse_json(body, what)
        if not isinstance(value, dict):
            raise CaProtocolError(f"{what}: the reply is not a JSON object")
        return cls(value, what, origin)

    def value(self, name: str) -> object:
        """Whatever stands there; None when absent."""
        return self._fields.get(name)

    def text(self, name: str) -> str:
        """A string, or empty when absent or of another type; verbatim, so for comparing and parsing only."""
        value = self._fields.get(name)
        return value if isinstance(value, str) else ""

    def words(self, name: str, limit: int = LONGEST_WORD) -> str:
        """A string to show to people."""
        return clean(self.text(name), limit)

    def flag(self, name: str) -> bool | None:
        value = self._fields.get(name)
        return value if isinstance(value, bool) else None

    def items(self, name: str) -> list[Any]:
        """A list, or an empty one."""
        value = self._fields.get(name)
        if not isinstance(value, list):
            return []
        if len(value) > _MOST_ITEMS:
            self.refuse(name, f"has {len(value)} entries")
        return value

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """The strings in a list, to show to people; at most *most*."""
        return tuple(clean(item, LONGEST_WORD) for item in self.items(name)[:most] if isinstance(item, str))

    def document(self, name: str) -> "Document | None":
        value = self._fields.get(name)
        return self.child(value, name)

    def child(self, value: object, name: str) -> "Document | None":
        return Document(value, f"{self.what}.{name}", self.origin) if isinstance(value, dict) else None

    def mapping(self, name: str, most: int) -> dict[str, str] | None:
        """An object of strings, to show to people; None when there is no such object."""
        value = self._fields.get(name)
        if not isinstance(value, dict):
            return None
        pairs = [(key, text) for key, text in value.items() if isinstance(text, str)][:most]
        return {clean(key, LONGEST_WORD): clean(text, LONGEST_WORD) for key, text in pairs}

    def moment(self, name: str) -> datetime | None:
        return parse_moment(self.text(name))

    def url(self, name: str) -> str:
        """A URL on the CA's origin, exactly as written; empty when absent. Raises CaProtocolError for any other."""
        value = self.text(name)
        return self.origin.check(value, f"{self.what}: {name}") if value else ""

    def required_url(self, name: str) -> str:
        return self.url(name) or self.refuse(name, "is missing")

    def urls(self, name: str) -> tuple[str, ...]:
        """A list of URLs on the CA's origin; anything else in the list is a CaProtocolError."""
        found = []
        for place, item in enumerate(self.items(name)):
            if not isinstance(item, str):
                self.refuse(f"{name}[{place}]", "is not a URL")
            found.append(self.origin.check(item, f"{self.what}: {name}[{place}]"))
        return tuple(found)

    def refuse(self, name: str, why: str) -> NoReturn:
        raise CaProtocolError(f"{self.what}: field {name!r} {why}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("an object names a field twice")
    return fields


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_not_json)  # json.loads makes one for each reply
