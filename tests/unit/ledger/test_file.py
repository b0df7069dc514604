"""The file: private whatever the umask, refused where it is not ours or newer, and left as it was then."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from certd.ledger.file import storage_error
from certd.ledger.glance import glance
from certd.ledger.ledger import open_ledger
from certd.model.errors import StorageError
from certd.model.keys import KeyId
from certd.model.steps import Step
from tests.fakes.clock import ManualClock
from tests.unit.ledger.conftest import SqliteStore
from tests.unit.ledger.samples import GROUND, NAME, PLACED, generation, key, order

SECRET = b"a private key that nobody needs any more" * 40


def modes(store: SqliteStore) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.glob("ledger.sqlite*")}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
async def test_nobody_else_can_read_it_whatever_the_umask_is(store: SqliteStore, mask: int) -> None:
    """I19: private keys are in it, and the state directory may be readable by others."""
    before = os.umask(mask)
    try:
        async with store.open() as ledger:
            await ledger.commit(None, Step.INTENT_STORED, *GROUND)
            assert len(list(store.path.parent.glob("ledger.sqlite*"))) == 3, "the file, its log, its shared memory"
            assert modes(store) == {0o600}
    finally:
        os.umask(before)


async def test_a_copy_that_came_back_wider_is_made_private_again(store: SqliteStore) -> None:
    async with store.open():
        pass
    store.path.chmod(0o644)
    async with store.open() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND)
        assert modes(store) == {0o600}


async def test_what_was_committed_is_synced(store: SqliteStore) -> None:
    """WAL and FULL: NORMAL would lose the last commits in a power cut."""
    async with store.open() as ledger:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)):
            assert await ledger.rows(f"PRAGMA {pragma}") == [(value,)], pragma


async def test_a_deleted_key_is_nowhere_in_the_files(store: SqliteStore) -> None:
    """SQLite alone leaves the bytes of a deleted row in its page until that is needed again."""
    async with store.open() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND, key("old", SECRET))
    assert SECRET in store.path.read_bytes()
    async with store.open() as ledger:
        await ledger.change(Step.PRUNED, lambda c: c.execute("DELETE FROM keys WHERE id = 'old'").rowcount)
    assert not any(SECRET[:100] in path.read_bytes() for path in store.path.parent.iterdir())
    async with store.open() as ledger:
        with pytest.raises(StorageError):
            await ledger.key(KeyId("old"))


def write(statement: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(statement)

    return make


async def newer(path: Path) -> None:
    async with open_ledger(path, clock=ManualClock(), node="n") as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND, order())
    write("UPDATE meta SET value = value + 1 WHERE key = 'schema'")(path)


async def test_a_newer_schema_is_refused_and_nothing_is_written(store: SqliteStore) -> None:
    """CR7: an older certd beside the ledger of a newer one stops, and names the way back."""
    await newer(store.path)
    before = store.path.read_bytes()
    for attempt in (opened, glanced):
        with pytest.raises(StorageError, match=r"a newer certd wrote it \(schema 2, this one knows 1\)") as caught:
            await attempt(store)
        assert "backup" in caught.value.hint
    assert store.path.read_bytes() == before


async def opened(store: SqliteStore) -> None:
    async with store.open():
        pass


async def glanced(store: SqliteStore) -> None:
    glance(store.path, NAME)


FOREIGN = {
    "another program's tables": write("CREATE TABLE bookmarks (url TEXT)"),
    "a table of that name": write("CREATE TABLE meta (key TEXT, value TEXT)"),
    "other columns": write("CREATE TABLE meta (id INTEGER)"),
    "no number": write("CREATE TABLE meta (key TEXT, value TEXT); INSERT INTO meta VALUES ('schema', 'one')"),
    "not a database": lambda path: path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 100) and None,
    "a truncated one": lambda path: path.write_bytes(b"SQLite format 3\x00") and None,
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
async def test_somebody_elses_file_is_refused_and_left_as_it_was(
    store: SqliteStore, make: Callable[[Path], None]
) -> None:
    make(store.path)
    before = store.path.read_bytes()
    for attempt in (opened, glanced):
        with pytest.raises(StorageError, match=r"is not a ledger of certd|is not a database") as caught:
            await attempt(store)
        assert "--state-dir" in caught.value.hint
    assert store.path.read_bytes() == before, "not even its journal mode"
    assert [path.name for path in store.path.parent.iterdir()] == ["ledger.sqlite"]


async def test_an_empty_file_is_a_ledger_that_was_not_finished(store: SqliteStore) -> None:
    """Killed between the file's birth and its first commit: the next run makes it."""
    store.path.touch()
    async with store.open() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND)
    async with store.open() as ledger:
        assert len(await ledger.accounts()) == 1


async def test_a_corrupt_page_is_an_error_with_a_way_out(store: SqliteStore) -> None:
    """FS7: it says so and names the backup; what lies on other pages can still be read."""
    async with store.open() as ledger:
        await ledger.commit(None, Step.GENERATION_STORED, *GROUND, generation())
    with closing(sqlite3.connect(store.path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'accounts'").fetchone()
    data = bytearray(store.path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    store.path.write_bytes(data)
    async with store.open() as ledger:
        for attempt in (ledger.accounts(), ledger.commit(None, Step.ACCOUNT_STORED, GROUND[1])):
            with pytest.raises(StorageError, match="malformed") as caught:
                await attempt
            assert "backup" in caught.value.hint
        assert await ledger.newest_generation(NAME) == generation()


async def test_a_backup_taken_while_certd_writes_is_whole(store: SqliteStore, tmp_path: Path) -> None:
    """FS10, docs/state.md: SQLite's own backup; what it holds is one moment, and certd goes on from it."""
    copy = SqliteStore(tmp_path / "backup" / "ledger.sqlite", ManualClock())
    copy.path.parent.mkdir()

    def back_up() -> None:
        with closing(sqlite3.connect(store.path)) as source, closing(sqlite3.connect(copy.path)) as target:
            source.backup(target, pages=1)

    async with store.open() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND)
        backup = asyncio.create_task(asyncio.to_thread(back_up))
        written = 0
        while written < 20 or not backup.done():
            written += 1
            row = order(f"o{written}", f"{written}.example")
            await ledger.commit(None, Step.INTENT_STORED, row, events=[PLACED])
        await backup
    async with copy.open() as restored:
        orders, events = len(await restored.open_orders()), len(await restored.events())
        assert 0 <= orders == events <= written
        assert await restored.rows("PRAGMA integrity_check") == [("ok",)]
        await restored.commit(None, Step.INTENT_STORED, order("later", "later.example"))
    assert stat.S_IMODE(copy.path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_directory_that_cannot_be_written_to_is_an_error_that_says_so() -> None:
    with TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o555)
        store = SqliteStore(folder / "ledger.sqlite", ManualClock())
        with _somebody_else(), pytest.raises(StorageError, match="Permission denied") as caught:
            asyncio.run(opened(store))
        assert "writable" in caught.value.hint
        with _somebody_else():
            assert glance(store.path, NAME) is None
        folder.chmod(0o700)
        with _somebody_else(), pytest.raises(StorageError, match="Permission denied"):
            glance(store.path, NAME)


@contextmanager
def _somebody_else() -> Iterator[None]:
    os.seteuid(12345)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_another_program_that_holds_it_is_named_as_the_reason(store: SqliteStore) -> None:
    """A forgotten shell in a transaction: no traceback, and no waiting for ever."""
    async with store.open():
        pass
    with closing(sqlite3.connect(store.path)) as other, closing(sqlite3.connect(store.path, timeout=0)) as connection:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as busy:
            connection.execute("BEGIN IMMEDIATE")
    error = storage_error(store.path, busy.value)
    assert "locked" in str(error)
    assert "another program" in error.hint
