"""The synchronous look says what the ledger says: for one name, at one moment, without changing anything."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest

from certd.ledger.glance import Glance, glance
from certd.ledger.rows import Record
from certd.model.errors import StorageError
from certd.model.identifiers import CertName
from certd.model.proofs import ProofState
from certd.model.records import OrderState
from certd.model.steps import Step
from tests.unit.ledger.conftest import SqliteStore
from tests.unit.ledger.samples import DESIRED, GROUND, NAME, generation, order, placed, proof, renewal

OTHER = CertName("other.example")
STATES: dict[str, Sequence[Record]] = {
    "nothing": [],
    "an intent": [order()],
    "an order under way": [placed(order()), proof()],
    "a first certificate": [generation(), renewal(), DESIRED, order(state=OrderState.DEAD)],
    "several": [generation(n) for n in (1, 2, 10)] + [renewal(2), renewal(10)],
    "no window for the newest": [generation(1), generation(2), renewal(1)],
    "a stray proof of another name": [order("o2", OTHER, state=OrderState.DEAD), proof("o2"), generation()],
    "a proof that is being withdrawn": [order(), proof(state=ProofState.WITHDRAWING)],
    "only withdrawn proofs": [order(), proof(state=ProofState.WITHDRAWN)],
    "others' things": [generation(1, OTHER), renewal(1, OTHER), order("o2", OTHER), replace(DESIRED, name=OTHER)],
}


def looked(store: SqliteStore, name: CertName = NAME) -> Glance:
    found = glance(store.path, name)
    assert found is not None
    return found


async def by_ledger(store: SqliteStore, name: CertName = NAME) -> Glance:
    async with store.open() as ledger:
        newest = await ledger.newest_generation(name)
        return Glance(
            generation=newest,
            renewal=await ledger.renewal(name, newest.number) if newest else None,
            desired=await ledger.desired(name),
            open_order=await ledger.open_order(name),
            has_open_proofs=bool(await ledger.rows("SELECT 1 FROM proofs WHERE state <> 'withdrawn'")),
            reloaded=await ledger.reloaded(name),
        )


@pytest.mark.parametrize("state", STATES)
async def test_it_says_what_the_ledger_says(store: SqliteStore, state: str) -> None:
    async with store.open() as ledger:
        for record in (*GROUND, *STATES[state]):
            await ledger.commit(None, Step.INTENT_STORED, record)
        await ledger.note_reloaded(OTHER, 3)
        during = looked(store)
    assert during == looked(store) == await by_ledger(store)
    assert looked(store, OTHER).reloaded == 3


def test_without_a_ledger_there_is_nothing_to_see(store: SqliteStore) -> None:
    assert glance(store.path, NAME) is None
    assert glance(store.path.parent / "no/such/directory/ledger.sqlite", NAME) is None
    assert list(store.path.parent.iterdir()) == [], "and nothing is made"


def test_a_ledger_that_is_being_made_is_none_yet(store: SqliteStore) -> None:
    """Two first runs at once: the second must not call the first one's half-made file somebody else's."""
    store.path.touch()
    assert glance(store.path, NAME) is None
    with closing(sqlite3.connect(store.path, isolation_level=None)) as maker:
        maker.execute("PRAGMA journal_mode=WAL")
        assert glance(store.path, NAME) is None
        maker.execute("BEGIN IMMEDIATE")
        maker.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
        assert glance(store.path, NAME) is None
        maker.execute("ROLLBACK")


async def test_it_neither_waits_for_a_writer_nor_sees_half_of_its_commit(store: SqliteStore) -> None:
    async with store.open() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND, generation())

        def middle(connection: sqlite3.Connection) -> Glance:
            connection.execute("DELETE FROM generations")
            return looked(store)

        during = await ledger.change(Step.PRUNED, middle)
        assert during.generation == generation()
        assert looked(store).generation is None


async def test_all_it_says_is_of_one_moment(store: SqliteStore) -> None:
    """Another certd may be writing between two of its questions."""
    seen: list[tuple[str, str]] = []

    def look() -> None:
        while len(seen) < 400 or len(set(seen)) < 20:
            found = looked(store)
            assert found.open_order is not None
            assert found.desired is not None
            seen.append((found.desired.document, found.open_order.profile))

    async with store.open() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND, order(profile="0"), replace(DESIRED, document="0"))
        looking = asyncio.create_task(asyncio.to_thread(look))
        while not looking.done():
            n = str(len(seen))
            await ledger.commit(None, Step.INTENT_STORED, order(profile=n), replace(DESIRED, document=n))
        await looking
    assert {document == profile for document, profile in seen} == {True}


async def test_it_leaves_the_ledger_as_it_was(store: SqliteStore) -> None:
    async with store.open() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND, generation())
    before = store.path.read_bytes()
    assert looked(store).generation == generation()
    assert store.path.read_bytes() == before
    async with store.open() as ledger:
        assert await ledger.newest_generation(NAME) == generation()


async def test_one_name_is_not_hurt_by_another_ones_broken_row(store: SqliteStore) -> None:
    """FS7, I17: one unreadable record made a whole listing fail, and everything was requested again."""
    async with store.open() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND, generation(1), generation(1, OTHER))
        sql = "UPDATE generations SET key_type = 'x' WHERE name = ?"
        await ledger.change(Step.PRUNED, lambda c: c.execute(sql, (OTHER,)).rowcount)
        assert await ledger.names() == [NAME, OTHER]
        assert await ledger.newest_generation(NAME) == generation()
        with pytest.raises(StorageError, match="a row of generations cannot be read"):
            await ledger.newest_generation(OTHER)
    assert looked(store).generation == generation()
    with pytest.raises(StorageError, match="cannot be read") as caught:
        glance(store.path, OTHER)
    assert "backup" in caught.value.hint


def test_it_needs_no_event_loop(store: SqliteStore) -> None:
    """8 ms of Python and little more: that nothing is due is found without asyncio."""

    async def fill() -> None:
        async with store.open() as ledger:
            await ledger.commit(None, Step.INTENT_STORED, *GROUND, generation())

    asyncio.run(fill())
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert looked(store).generation == generation()
