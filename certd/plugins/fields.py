"""The fields of an options dataclass, as options that people can read about and type.

What a plugin author may write is in `certd.api.ProviderSpec`; a field of any other type is the author's mistake and
says so when the plugin is first used.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from certd.model.errors import ConfigError
from certd.model.secret import Secret

_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
_LONGEST_NUMBER = 20
_QUOTED = 60


class Kind(Enum):
    """What people type for an option."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "yes or no"
    PATH = "path"
    LIST = "list, separated by commas"
    SECRET = "secret, by reference (file:, env:, credential:)"  # noqa: S105 - what people read, not a password


_KINDS: dict[Any, Kind] = {
    str: Kind.TEXT,
    int: Kind.NUMBER,
    bool: Kind.FLAG,
    Path: Kind.PATH,
    tuple[str, ...]: Kind.LIST,
    Secret[str]: Kind.SECRET,
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `default` is text as people would type it, empty where there is none; so is `example`."""

    name: str
    kind: Kind
    required: bool
    default: str
    doc: str
    example: str = ""


def options_of(cls: type[Any]) -> tuple[Option, ...]:
    """The options that *cls* declares, in its order; raises ConfigError for a class that is not usable."""
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise ConfigError(f"{_of(cls)} is not a dataclass, so it cannot declare options")
    try:
        hints = typing.get_type_hints(cls)
        return tuple(_option(cls, field, hints[field.name]) for field in dataclasses.fields(cls) if field.init)
    except ConfigError:
        raise
    except Exception as failure:  # what its author wrote may raise anything
        raise ConfigError(f"{_of(cls)}: its options cannot be read: {type(failure).__name__}: {failure}") from failure


def parse_value(kind: Kind, text: str) -> str | int | bool | Path:
    """Convert one text; raises ConfigError. Lists and secrets are not single texts and do not come here."""
    match kind:
        case Kind.NUMBER:
            if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= _LONGEST_NUMBER):
                raise ConfigError(f"{_quoted(text)} is not a whole number")
            return int(text)
        case Kind.FLAG:
            if text.lower() not in _WORDS:
                raise ConfigError(f"{_quoted(text)} is neither yes nor no")
            return _WORDS[text.lower()]
        case Kind.PATH:
            return _path(text)
        case Kind.TEXT | Kind.LIST | Kind.SECRET:
            return text


def _path(text: str) -> Path:
    try:
        if text and "\0" not in text:
            return Path(text).expanduser().absolute()  # another process may use it, from another directory
    except RuntimeError:  # a ~ of a user that this host does not have
        pass
    raise ConfigError(f"{_quoted(text)} is not a path")


def _quoted(text: str) -> str:
    return repr(text[:_QUOTED]) + ("…" if len(text) > _QUOTED else "")


def _of(cls: object) -> str:
    return f"{cls.__module__}.{cls.__qualname__}" if isinstance(cls, type) else f"a {type(cls).__name__}"


def _option(cls: type[Any], field: "dataclasses.Field[Any]", hint: Any) -> Option:
    kind = _KINDS.get(_without_none(hint))
    if kind is None:
        raise ConfigError(f"{_of(cls)}.{field.name}: options cannot have the type {hint}")
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    shown = "" if required else _shown(default)
    return Option(field.name, kind, required, shown, field.metadata.get("doc", ""), field.metadata.get("example", ""))


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        return inner[0] if len(inner) == 1 else hint
    return hint


def _shown(default: Any) -> str:
    match default:
        case None:
            return ""
        case bool():
            return "yes" if default else "no"
        case tuple():
            return ",".join(default)
        case _:
            return str(default)
