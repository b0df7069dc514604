"""Records to rows and back: one table for each record class, columns named and converted by its fields.

Nested records (the `Scope` of a `ScopeRecord`, the `Proof` of a `ProofRecord`) lie flat in their table.
"""

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from certd.ledger.file import RESTORE
from certd.model.errors import StorageError
from certd.model.identifiers import Identifier, from_set_key, set_key
from certd.model.keys import KeyRecord
from certd.model.proofs import ProofRecord
from certd.model.records import (
    AccountRecord,
    DesiredRecord,
    DirectoryRecord,
    FailureRecord,
    Generation,
    Observation,
    OrderRecord,
    Renewal,
    ScopeRecord,
)

Value = str | int | bytes | None
Record = (
    AccountRecord
    | DesiredRecord
    | DirectoryRecord
    | FailureRecord
    | Generation
    | KeyRecord
    | Observation
    | OrderRecord
    | ProofRecord
    | Renewal
    | ScopeRecord
)
F = TypeVar("F", bound=Callable[..., Any])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _memo(function: F) -> F:
    return cast("F", cache(function))


def to_micros(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    return EPOCH + timedelta(microseconds=value)


@dataclass(frozen=True, slots=True)
class Table:
    """Where a record class lives. `fenced`: its rows carry the node and epoch that wrote them."""

    name: str
    key: tuple[str, ...]
    fenced: bool = False


TABLES: Mapping[type[Any], Table] = {
    KeyRecord: Table("keys", ("id",)),
    AccountRecord: Table("accounts", ("id",)),
    DirectoryRecord: Table("directories", ("issuer",)),
    DesiredRecord: Table("desired", ("name",)),
    OrderRecord: Table("orders", ("id",), fenced=True),
    ProofRecord: Table("proofs", ("id",), fenced=True),
    Generation: Table("generations", ("name", "number"), fenced=True),
    Renewal: Table("renewals", ("name", "number")),
    ScopeRecord: Table("scopes", ("kind", "issuer", "key")),
    FailureRecord: Table("failures", ()),
    Observation: Table("observations", ("kind", "subject", "at")),
}


@dataclass(frozen=True, slots=True)
class _Column:
    path: tuple[str, ...]
    encode: Callable[[Any], Value]
    decode: Callable[[Any], Any]

    @property
    def name(self) -> str:
        return self.path[-1]


def columns(record: type[Any]) -> tuple[str, ...]:
    return tuple(column.name for column in _layout(record))


@_memo
def upsert(record: type[Any]) -> str:
    """The statement that stores one record, replacing the row with its key."""
    table = TABLES[record]
    names = [*columns(record), *(("node", "epoch") if table.fenced else ())]
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names of our own
    if not table.key:
        return statement
    changed = [name for name in names if name not in table.key]
    if not changed:
        return f"{statement} ON CONFLICT DO NOTHING"
    updates = ", ".join(f"{name} = excluded.{name}" for name in changed)
    return f"{statement} ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {updates}"


@_memo
def select(record: type[Any], where: str) -> str:
    """`SELECT` of the record's columns with a fixed condition written by us."""
    return f"SELECT {', '.join(columns(record))} FROM {TABLES[record].name} {where}"  # noqa: S608 - as above


def encode(record: Record) -> list[Value]:
    return [column.encode(_reach(record, column.path)) for column in _layout(type(record))]


def decode(kind: type[Any], row: tuple[Any, ...]) -> Any:
    """The record of a row selected by `select`; raises StorageError for values that certd never wrote."""
    layout = _layout(kind)
    try:
        return _build(kind, (), {c.path: c.decode(v) for c, v in zip(layout, row, strict=True)})
    except (ValueError, TypeError, ArithmeticError) as error:
        raise StorageError(f"a row of {TABLES[kind].name} cannot be read: {error}", hint=RESTORE) from error


def _reach(record: object, path: tuple[str, ...]) -> Any:
    value: Any = record
    for name in path:
        value = getattr(value, name)
    return value


def _build(kind: type[Any], prefix: tuple[str, ...], values: dict[tuple[str, ...], Any]) -> Any:
    arguments = {}
    for field in fields(kind):
        path = (*prefix, field.name)
        arguments[field.name] = values[path] if path in values else _build(_hints(kind)[field.name], path, values)
    return kind(**arguments)


@_memo
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


@_memo
def _layout(kind: type[Any], prefix: tuple[str, ...] = ()) -> tuple[_Column, ...]:
    found: list[_Column] = []
    for field in fields(kind):
        path, hint = (*prefix, field.name), _plain(_hints(kind)[field.name])
        if is_dataclass(hint) and hint is not Identifier:
            found.extend(_layout(cast("type[Any]", hint), path))
        else:
            found.append(_Column(path, *_converters(hint)))
    return tuple(found)


def _plain(hint: Any) -> Any:
    """Without `| None` and NewType."""
    if get_origin(hint) in {Union, types.UnionType}:
        hint = next(part for part in get_args(hint) if part is not type(None))
    return _plain(hint.__supertype__) if hasattr(hint, "__supertype__") else hint


def _converters(hint: Any) -> tuple[Callable[[Any], Value], Callable[[Any], Any]]:
    if hint is datetime:
        return _unless_none(to_micros), _unless_none(from_micros)
    if hint is bool:
        return int, bool
    if hint is Identifier:
        return lambda i: set_key((i,)), lambda text: from_set_key(text)[0]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda member: member.value, hint
    if get_origin(hint) is tuple:
        return json.dumps, lambda text: tuple(json.loads(text))
    if hint in {str, int, bytes}:
        return _same, _same
    raise TypeError(f"no column for {hint}")


def _same(value: Any) -> Any:
    return value


def _unless_none(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)
