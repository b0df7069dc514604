"""SQLite on a thread of its own: jobs in, group commits out.

WAL and `synchronous=FULL`: what was committed survives a power cut. All jobs that wait while one transaction is being
synced share the next one, each behind a savepoint, so that one lost claim does not undo its neighbours. A future is
resolved after the COMMIT that made its job true, never before.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from certd.ledger.file import connect, storage_error
from certd.model.errors import StorageError

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]
MOST_JOBS_IN_A_COMMIT = 256


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job
    writes: bool
    done: "Future[Any]"


class Engine:
    """One connection, one thread. Jobs run in the order in which they came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def start(self, prepare: Job) -> Any:
        """Open the file and run *prepare* (schema, epoch) as the first transaction; raises StorageError."""
        self._thread = threading.Thread(target=self._serve, name="ledger", daemon=True)
        self._thread.start()
        return await self.write(prepare)

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run *job* in a transaction and return once that is on the disk. Safe to cancel: the job may still commit."""
        return await self._submit(job, writes=True)

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await self._submit(job, writes=False)

    async def close(self) -> None:
        """Finish what is queued, then close the file."""
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def _submit(self, job: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
        waiting = _Waiting(job, writes, Future())
        self._jobs.put(waiting)
        result: T = await asyncio.wrap_future(waiting.done)
        return result

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        stop = False
        while not stop:
            batch, stop = self._next_batch()
            try:
                connection = connection or connect(self._path)
                _run(connection, batch)
            except sqlite3.Error as error:
                _fail(batch, storage_error(self._path, error))
            except OSError as error:
                _fail(batch, StorageError(f"{self._path}: {error.strerror or error}"))
        if connection is not None:
            connection.close()

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


def _run(connection: sqlite3.Connection, batch: Sequence[_Waiting]) -> None:
    if not any(waiting.writes for waiting in batch):
        for waiting in batch:
            _settle(waiting.done, waiting.job, connection)
        return
    connection.execute("BEGIN IMMEDIATE")
    outcomes: list[tuple[_Waiting, Any, Exception | None]] = []
    try:
        outcomes.extend((waiting, *_in_savepoint(connection, waiting.job)) for waiting in batch)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    for waiting, value, error in outcomes:
        if not waiting.done.set_running_or_notify_cancel():
            continue
        if error is not None:
            waiting.done.set_exception(error)
        else:
            waiting.done.set_result(value)


def _in_savepoint(connection: sqlite3.Connection, job: Job) -> tuple[Any, Exception | None]:
    connection.execute("SAVEPOINT job")
    try:
        value = job(connection)
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        if not isinstance(error, sqlite3.IntegrityError):
            raise
        return _undo(connection, error)
    except Exception as error:  # noqa: BLE001 - the job's caller gets it; its neighbours in this commit must not
        return _undo(connection, error)
    connection.execute("RELEASE job")
    return value, None


def _undo(connection: sqlite3.Connection, error: Exception) -> tuple[None, Exception]:
    connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
    return None, error


def _settle(done: "Future[Any]", job: Job, connection: sqlite3.Connection) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(job(connection))
    except Exception as error:  # noqa: BLE001 - it belongs to the caller that waits for it
        done.set_exception(error)


def _fail(batch: Sequence[_Waiting], error: StorageError) -> None:
    for waiting in batch:
        if not waiting.done.done() and waiting.done.set_running_or_notify_cancel():
            waiting.done.set_exception(error)
