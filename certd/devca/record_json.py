"""Records to JSON and back, by their annotations: times as RFC 3339, octets as base64url, statuses by value."""

import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from certd.devca import base64url

R = TypeVar("R")


def to_json(record: Any) -> str:
    return json.dumps(_plain(record), separators=(",", ":"))


def from_json(kind: type[R], text: str) -> R:
    found: R = _made(kind, json.loads(text))
    return found


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case bytes():
            return base64url.encode(value)
        case Enum():
            return value.value
        case tuple():
            return [_plain(each) for each in value]
        case _ if is_dataclass(value):
            return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            return value


def _made(kind: Any, value: Any) -> Any:  # noqa: PLR0911 - a kind of annotation, a return
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        return _made(next(each for each in get_args(kind) if each is not NoneType), value)
    if get_origin(kind) is tuple:
        return tuple(_made(get_args(kind)[0], each) for each in value)
    if get_origin(kind) is not None or not isinstance(kind, type):
        return value
    if issubclass(kind, datetime):
        return datetime.fromisoformat(value)
    if issubclass(kind, bytes):
        return base64url.decode(value)
    if issubclass(kind, Enum):
        return kind(value)
    if is_dataclass(kind):
        return kind(**{name: _made(_hints(kind)[name], each) for name, each in value.items()})
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
