"""Records to rows and back, every kind with every value that its fields can have, through SQLite's strict tables."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.ledger import schema
from certd.ledger.rows import TABLES, Record, columns, decode, encode, from_micros, select, to_micros, upsert
from certd.model.acme import ChallengeType
from certd.model.identifiers import Identifier, IdentifierType
from certd.model.keys import KeyRecord
from certd.model.proofs import Proof, ProofRecord, ProofState
from certd.model.records import AccountRecord, OrderRecord

KINDS = get_args(Record)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
# SQLite keeps text as UTF-8: lone surrogates, which no reply is decoded to, are out.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.from_regex(r"(\*\.)?[a-z0-9_-]{1,20}(\.[a-z0-9-]{1,10}){0,3}", fullmatch=True)
ADDRESSES = st.ip_addresses().map(str)
IDENTIFIERS = st.builds(Identifier, st.just(IdentifierType.DNS), NAMES) | st.builds(
    Identifier, st.just(IdentifierType.IP), ADDRESSES
)

st.register_type_strategy(datetime, MOMENTS)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(Identifier, IDENTIFIERS)


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in schema.TABLES.split(";"):
            connection.execute(statement)
        yield connection


def stored(connection: sqlite3.Connection, record: Any) -> Any:
    """What comes back of *record*, which is not linked to others here."""
    kind, table = type(record), TABLES[type(record)]
    connection.execute(f"DELETE FROM {table.name}")  # noqa: S608 - a table of ours
    fence = ["node", 1] if table.fenced else []
    connection.execute(upsert(kind), [*encode(record), *fence])
    rows = connection.execute(select(kind, "")).fetchall()
    assert len(rows) == 1
    return decode(kind, rows[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_record_comes_back_as_it_was(database: sqlite3.Connection, kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(st.from_type(kind))
    assert stored(database, record) == record


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_record_has_a_table_with_just_its_columns(database: sqlite3.Connection, kind: type[Any]) -> None:
    """A field that has no column would be lost; a column without a field would stay empty."""
    table = TABLES[kind]
    found = {row[1]: row[5] for row in database.execute(f"PRAGMA table_info({table.name})")}
    fence = {"node", "epoch"} if table.fenced else set()
    unused = {"kek"} if kind is KeyRecord else set()  # sealing comes later
    assert set(found) - unused == set(columns(kind)) | fence
    assert {name for name, in_key in found.items() if in_key} == set(table.key)


def test_the_tables_are_strict_and_known(database: sqlite3.Connection) -> None:
    """Without STRICT, SQLite takes any type in any column."""
    tables = {row[1]: row[5] for row in database.execute("PRAGMA table_list") if not row[1].startswith("sqlite_")}
    assert set(tables) == {table.name for table in TABLES.values()} | {"meta", "nodes", "outbox", "cursors"}
    assert set(tables.values()) == {1}


def test_a_nested_record_lies_flat_in_its_table() -> None:
    """`zone`, `name`, `value` of the proof can be asked for in SQL."""
    assert {"type", "identifier", "name", "value", "zone"} <= set(columns(ProofRecord))
    assert {field.name for field in fields(Proof)} <= set(columns(ProofRecord))


@pytest.mark.parametrize(
    ("moment", "micros"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), 2**31 * 1_000_000),
        (datetime(2026, 11, 24, 9, 0, 0, 1, tzinfo=UTC), 1795510800000001),
        (datetime(2026, 11, 24, 10, 0, tzinfo=timezone(timedelta(hours=1))), 1795510800000000),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), 253402300799999999),
    ],
)
def test_moments_are_whole_microseconds_since_1970(moment: datetime, micros: int) -> None:
    assert to_micros(moment) == micros
    assert from_micros(micros) == moment


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(TypeError):
        to_micros(datetime(2026, 11, 24))  # noqa: DTZ001 - that is the point


def test_text_of_a_ca_cannot_leave_its_column(database: sqlite3.Connection) -> None:
    """A detail with quotes, semicolons and line ends is data."""
    nasty = "'; DROP TABLE orders; --\n\"\x00\u2028é"
    record = ProofRecord(
        id=nasty,  # type: ignore[arg-type]
        order_id=nasty,
        authorization_url=nasty,
        proof=Proof(ChallengeType.DNS_01, Identifier(IdentifierType.DNS, "a.example"), nasty, nasty, nasty),
        method=nasty,
        options=nasty,
        state=ProofState.JOURNALLED,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert stored(database, record) == record
    assert database.execute("SELECT count(*) FROM orders").fetchone() is not None


def test_a_field_of_a_kind_that_no_column_takes_is_a_mistake_at_once() -> None:
    @dataclass(frozen=True, slots=True)
    class Odd:
        share: float

    with pytest.raises(TypeError, match="no column for"):
        columns(Odd)


def test_rows_that_others_take_over_say_who_wrote_them() -> None:
    """Fencing: node and epoch stand in every row of the journal."""
    fenced = {kind for kind, table in TABLES.items() if table.fenced}
    assert {OrderRecord, ProofRecord} <= fenced
    assert AccountRecord not in fenced
    assert "excluded.epoch" in upsert(OrderRecord)
