"""SQLite on a thread of its own: jobs in, group commits out.

WAL and `synchronous=FULL`: what was committed survives a power cut. All jobs that wait while one transaction is being
synced share the next one; where one of them fails, it is run again with each behind a savepoint, so that one lost claim
does not undo its neighbours. Who waits is told after the COMMIT that made the job true, never before, and all of a
batch by one word to the loop. Each statement may wait for the interpreter, so there are few.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from certd.ledger.file import close, open_to_write, storage_error
from certd.model.errors import StorageError

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
MOST_JOBS_IN_A_COMMIT = 256


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job
    writes: bool
    done: "asyncio.Future[Any]"  # the loop's: the ledger's thread does not touch it


class Engine:
    """One connection, one thread. Jobs run in the order in which they came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._gathered: list[_Waiting] = []  # in this turn of the loop: what comes together is synced together
        self._thread: threading.Thread | None = None
        self.guard: Job | None = None  # begins each transaction; what it raises undoes it and is told to all in it

    async def start(self, prepare: Callable[[sqlite3.Connection], T]) -> T:
        """Open the file and run *prepare* (schema, epoch) as the first transaction; raises StorageError."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name="ledger", daemon=True)
        self._thread.start()
        return await self.write(prepare)

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run *job* in a transaction and return once that is on the disk. It gives back values, never a cursor.

        It has effects on the connection only: it may be run again, after a ROLLBACK, for a neighbour's sake.
        Raises StorageError, sqlite3.IntegrityError, and what *job* raises; nothing of it was written then. A cancelled
        caller's job is run all the same: what was about to be remembered (the URL of an order!) is worth it.
        """
        return await self._submit(job, writes=True)

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await self._submit(job, writes=False)

    async def close(self) -> None:
        """Finish what is queued, then close the file; also while the caller is being cancelled."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._hand_over()
        self._jobs.put(None)
        ended, cancelled = asyncio.ensure_future(asyncio.to_thread(thread.join)), None
        while not ended.done():
            try:
                await asyncio.shield(ended)
            except asyncio.CancelledError as late:
                cancelled = late
        if cancelled is not None:
            raise cancelled

    async def _submit(self, job: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
        if self._thread is None:
            raise StorageError(f"{self._path}: the ledger is closed")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(job, writes, loop.create_future())
        if not self._gathered:
            loop.call_soon(self._hand_over)
        self._gathered.append(waiting)  # from here on it cannot be taken back
        result: T = await waiting.done
        return result

    def _hand_over(self) -> None:
        for waiting in self._gathered:
            self._jobs.put(waiting)
        self._gathered.clear()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        connection: sqlite3.Connection | None = None
        stop = False
        while not stop:
            batch, stop = self._next_batch()
            try:
                connection = connection or open_to_write(self._path)
                outcomes = _run(self._path, connection, batch, self.guard)
            except Exception as error:  # noqa: BLE001 - this thread's edge: those who wait must hear of it
                outcomes = [_Outcome(error=storage_error(self._path, error))] * len(batch)
                if connection is not None and connection.in_transaction:  # even the rollback failed: begin anew
                    close(connection, self._path)
                    connection = None
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, tuple(zip(batch, outcomes, strict=True)))
        if connection is not None:
            close(connection, self._path)

    def _next_batch(self) -> tuple[list[_Waiting], bool]:
        batch: list[_Waiting] = []
        block = True
        while len(batch) < MOST_JOBS_IN_A_COMMIT:
            try:
                waiting = self._jobs.get(block=block)
            except queue.Empty:
                break
            if waiting is None:
                return batch, True
            batch.append(waiting)
            block = False
        return batch, False


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any = None
    error: Exception | None = None


def _run(path: Path, connection: sqlite3.Connection, batch: Sequence[_Waiting], guard: Job | None) -> list[_Outcome]:
    if not any(waiting.writes for waiting in batch):
        return [_outcome(path, connection, waiting.job) for waiting in batch]
    with _transaction(connection, guard):
        outcomes = _until_one_fails(path, connection, batch)
        if len(outcomes) == len(batch):
            connection.execute("COMMIT")
            return outcomes
    with _transaction(connection, guard):
        outcomes = [
            _in_savepoint(path, connection, waiting.job) if waiting.writes else _outcome(path, connection, waiting.job)
            for waiting in batch
        ]
        connection.execute("COMMIT")
    return outcomes


@contextmanager
def _transaction(connection: sqlite3.Connection, guard: Job | None) -> Iterator[None]:
    """What is not committed in the block is undone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if guard is not None:
            guard(connection)
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _until_one_fails(path: Path, connection: sqlite3.Connection, batch: Iterable[_Waiting]) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for waiting in batch:
        outcome = _outcome(path, connection, waiting.job)
        if outcome.error is not None or not connection.in_transaction:  # SQLite ends it itself where the disk is full
            break
        outcomes.append(outcome)
    return outcomes


def _in_savepoint(path: Path, connection: sqlite3.Connection, job: Job) -> _Outcome:
    connection.execute("SAVEPOINT job")
    outcome = _outcome(path, connection, job)
    if outcome.error is not None:
        # A full disk and the like may end the whole transaction: then this fails as well, and with it the batch.
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
    return outcome


def _outcome(path: Path, connection: sqlite3.Connection, job: Job) -> _Outcome:
    try:
        value = job(connection)
    except sqlite3.IntegrityError as error:  # what the caller asked for contradicts what is there: theirs to explain
        return _Outcome(error=error)
    except sqlite3.Error as error:
        return _Outcome(error=storage_error(path, error))
    except Exception as error:  # noqa: BLE001 - the job's caller gets it; its neighbours in this commit must not
        return _Outcome(error=error)
    if isinstance(value, sqlite3.Cursor):
        # Freed in the caller's thread it would reset its statement, which this thread may be running for somebody else.
        return _Outcome(error=TypeError("a cursor must not leave the ledger's thread"))
    return _Outcome(value)


def _tell(outcomes: Iterable[tuple[_Waiting, _Outcome]]) -> None:
    for waiting, outcome in outcomes:
        if waiting.done.done():  # cancelled
            continue
        if outcome.error is not None:
            waiting.done.set_exception(outcome.error)
        else:
            waiting.done.set_result(outcome.value)
