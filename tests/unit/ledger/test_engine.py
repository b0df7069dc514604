"""Group commits: who shares one with whom, who is told what, and when."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from certd.ledger.engine import MOST_JOBS_IN_A_COMMIT, Engine
from certd.model.errors import StorageError

Job = Callable[[sqlite3.Connection], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
async def engine(path: Path) -> AsyncIterator[Engine]:
    opened = Engine(path)

    def prepare(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, blob BLOB) STRICT")
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) STRICT")
        connection.execute("INSERT INTO meta VALUES ('schema', '1')")

    await opened.start(prepare)
    try:
        yield opened
    finally:
        await opened.close()


def insert(n: int) -> Job:
    return lambda connection: connection.execute("INSERT INTO t (n) VALUES (?)", (n,)).rowcount


def seen_by_others(path: Path) -> list[int]:
    """What another process would find now: only what is committed."""
    with closing(sqlite3.connect(path)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


class Held:
    """A job that holds the engine's thread until it is let go, so that what is queued meanwhile is one batch."""

    def __init__(self) -> None:
        self._begun, self._go = threading.Event(), threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self._begun.set()
        assert self._go.wait(timeout=30)

    async def begun(self) -> None:
        await asyncio.to_thread(self._begun.wait, 30)
        await asyncio.sleep(0)  # what the engine had told the loop before is done now

    def go(self) -> None:
        self._go.set()


async def batch(engine: Engine, *jobs: Job) -> list[asyncio.Task[object]]:
    """Run all in one commit; the tasks, each done."""
    held = Held()
    first = asyncio.create_task(engine.read(held))
    await held.begun()
    tasks = [asyncio.create_task(engine.write(job)) for job in jobs]
    await asyncio.sleep(0)
    held.go()
    await asyncio.wait([first, *tasks])
    return tasks


async def test_what_waits_together_is_synced_together(engine: Engine) -> None:
    """Ten journal steps cost 1.33 ms one by one and 0.07 ms in groups."""
    statements: list[str] = []
    await engine.read(lambda c: c.set_trace_callback(statements.append))
    await batch(engine, *(insert(n) for n in range(100)))
    await engine.read(lambda c: c.set_trace_callback(None))
    assert statements.count("COMMIT") == 1
    assert sum(s.startswith("INSERT") for s in statements) == 100


async def test_a_commit_takes_a_limited_number_of_jobs(engine: Engine, path: Path) -> None:
    statements: list[str] = []
    await engine.read(lambda c: c.set_trace_callback(statements.append))
    await batch(engine, *(insert(n) for n in range(2 * MOST_JOBS_IN_A_COMMIT + 1)))
    assert statements.count("COMMIT") == 3
    assert seen_by_others(path) == list(range(2 * MOST_JOBS_IN_A_COMMIT + 1))


def fail(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t (n) VALUES (99)")
    raise LookupError("a lost claim")


def mistake(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t (n) VALUES (98)")
    connection.execute("SELECT * FROM nowhere")


def twice(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t (n) VALUES (97)")
    connection.execute("INSERT INTO t (n) VALUES (97)")


def wrong_type(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t (n) VALUES (96)")
    connection.execute("INSERT INTO t (n) VALUES (?)", (object(),))


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (fail, LookupError),
        (mistake, StorageError),
        (twice, sqlite3.IntegrityError),
        (wrong_type, StorageError),
        (lambda c: c.execute("INSERT INTO t (n) VALUES (?)", (2**70,)), OverflowError),
    ],
)
async def test_one_failing_job_does_not_undo_its_neighbours(
    engine: Engine, path: Path, job: Job, error: type[Exception]
) -> None:
    """Each job stands behind a savepoint: a lost claim, a bug, a broken constraint are one caller's affair."""
    before, failed, after = await batch(engine, insert(1), job, insert(2))
    assert isinstance(failed.exception(), error)
    assert (before.result(), after.result()) == (1, 1)
    assert seen_by_others(path) == [1, 2], "nothing of the failed one, all of the others"


async def test_nobody_is_told_before_the_commit(engine: Engine, path: Path) -> None:
    """A future that resolves early lets the next effect out into the world without its journal."""
    held, blocked = Held(), Held()
    first = asyncio.create_task(engine.read(held))
    await held.begun()
    early = asyncio.create_task(engine.write(insert(1)))
    last = asyncio.create_task(engine.write(blocked))
    await asyncio.sleep(0)
    held.go()
    await blocked.begun()
    assert first.done(), "an earlier batch is told"
    assert not early.done()
    assert seen_by_others(path) == []
    blocked.go()
    assert await early == 1
    assert seen_by_others(path) == [1]
    await last


async def test_if_the_commit_fails_everyone_in_it_is_told_so(engine: Engine, path: Path) -> None:
    def end_it(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite itself does where the disk is full

    tasks = await batch(engine, insert(1), end_it, insert(2))
    assert [type(task.exception()) for task in tasks] == [StorageError] * 3
    assert seen_by_others(path) == []
    assert await engine.write(insert(3)) == 1, "and the next one is a new try"


async def test_reads_in_a_batch_see_what_was_queued_before_them(engine: Engine) -> None:
    held = Held()
    first = asyncio.create_task(engine.read(held))
    await held.begun()
    count: Callable[[sqlite3.Connection], int] = lambda c: c.execute("SELECT count(*) FROM t").fetchone()[0]  # noqa: E731
    before = asyncio.create_task(engine.read(count))
    write = asyncio.create_task(engine.write(insert(1)))
    after = asyncio.create_task(engine.read(count))
    await asyncio.sleep(0)
    held.go()
    await asyncio.gather(first, write)
    assert (await before, await after) == (0, 1)


async def test_a_failing_read_is_an_error_of_ours_and_of_its_caller_alone(engine: Engine) -> None:
    with pytest.raises(StorageError, match="no such table") as caught:
        await engine.read(lambda c: c.execute("SELECT * FROM nowhere").fetchall())
    assert str(caught.value).count("ledger.sqlite") == 1
    assert await engine.read(lambda c: c.execute("SELECT count(*) FROM t").fetchone()) == (0,)


async def test_no_cursor_leaves_the_ledgers_thread(engine: Engine, path: Path) -> None:
    """Freed by its caller it would reset a statement that this thread is running for somebody else by then."""
    with pytest.raises(TypeError, match="cursor"):
        await engine.write(lambda c: c.execute("INSERT INTO t (n) VALUES (1)"))
    assert seen_by_others(path) == []


async def test_a_cancelled_caller_leaves_at_once_and_its_job_is_done_all_the_same(engine: Engine, path: Path) -> None:
    """What was about to be remembered is true, whoever waits for it; neighbours do not notice."""
    held = Held()
    first = asyncio.create_task(engine.read(held))
    await held.begun()
    tasks = [asyncio.create_task(engine.write(insert(n))) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    held.go()
    assert (await tasks[0], await tasks[2]) == (1, 1)
    await first
    assert seen_by_others(path) == [0, 1, 2]


async def test_a_cancelled_end_still_closes_the_file_before_it_lets_go(engine: Engine, path: Path) -> None:
    """The state directory's lock is given back after this: nobody else may come while jobs are written."""
    held = Held()
    first = asyncio.create_task(engine.read(held))
    await held.begun()
    write = asyncio.create_task(engine.write(insert(1)))
    await asyncio.sleep(0)
    end = asyncio.create_task(engine.close())
    for _ in range(3):
        await asyncio.sleep(0)
        end.cancel()
    await asyncio.sleep(0)
    assert not end.done()
    held.go()
    with pytest.raises(asyncio.CancelledError):
        await end
    assert await write == 1
    await first
    assert not path.with_name("ledger.sqlite-wal").exists(), "the last one to close tidies up"
    assert seen_by_others(path) == [1]


async def test_closing_twice_is_closing(engine: Engine) -> None:
    await engine.close()
    await engine.close()
    with pytest.raises(StorageError, match="closed"):
        await engine.write(insert(1))


async def test_a_file_that_cannot_be_opened_is_told_and_leaves_no_thread(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "missing/ledger.sqlite")
    with pytest.raises(StorageError, match="No such file or directory"):
        await engine.start(lambda _: None)
    await engine.close()


async def test_no_cursor_leaves_the_thread(engine: Engine, path: Path) -> None:
    """Freed elsewhere it resets its statement under whoever runs that next: "bad parameter or other API misuse"."""
    with pytest.raises(TypeError, match="a cursor must not leave the ledger's thread"):
        await engine.write(lambda c: c.execute("INSERT INTO t (n) VALUES (1)"))
    assert seen_by_others(path) == []


async def test_what_the_guard_refuses_is_not_written_and_told_to_all(engine: Engine, path: Path) -> None:
    """A state directory that was taken over: whoever is in the batch, and whatever else was fine."""

    def taken_over(_: sqlite3.Connection) -> None:
        raise StorageError("another certd took it over")

    engine.guard = taken_over
    tasks = await batch(engine, insert(1), insert(2))
    assert [str(task.exception()) for task in tasks] == ["another certd took it over"] * 2
    engine.guard = None
    assert await engine.write(insert(3)) == 1
    assert seen_by_others(path) == [3]
