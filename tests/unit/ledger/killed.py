"""Kill a process that writes to the ledger, again and again: `python -m tests.unit.ledger.killed FOLDER ROUNDS SEED`.

One interpreter forks all writers, so that a thousand kills take a minute. A writer says which commits have returned; it
is killed after some number of them, at some instant of the next. Then everything it was told must be there.
"""

import asyncio
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from certd.ledger.ledger import Ledger, open_ledger
from certd.model.identifiers import CertName
from certd.model.records import OrderState
from certd.model.steps import Step
from tests.fakes.clock import ManualClock
from tests.unit.ledger.samples import GROUND, PLACED, order, placed, proof

AT_ONCE = 8
ROUNDS_A_LEDGER = 25  # looking through a large one takes longer than killing


async def write(path: Path, names: str, told: int) -> None:
    """Orders, each with a proof and an event, one after the other in eight tasks, until somebody ends it."""
    async with open_ledger(path, clock=ManualClock(), node="n") as ledger:
        # Checkpoints are rare by default, and a kill in the middle of one is what is wanted.
        await ledger.change(Step.PRUNED, lambda c: c.execute("PRAGMA wal_autocheckpoint=8").fetchall())
        await ledger.commit(None, Step.ACCOUNT_STORED, *GROUND)
        async with asyncio.TaskGroup() as group:
            for task in range(AT_ONCE):
                group.create_task(_orders(ledger, f"{names}-{task}", told))


async def _orders(ledger: Ledger, names: str, told: int) -> None:
    for n in range(sys.maxsize):
        name = f"{names}-{n}.example"
        claim = ledger.claim(CertName(name), name)
        assert claim is not None
        row = order(name, name, set_key=name)
        await ledger.commit(claim, Step.INTENT_STORED, row)
        await ledger.commit(claim, Step.ORDER_STORED, placed(row), proof(name, name, name), events=[PLACED])
        os.write(told, f"{name}\n".encode())
        ledger.release(claim)


def kill_one(path: Path, names: str, commits: int, delay: float) -> list[str]:
    """Fork a writer, kill it *delay* seconds after so many commits; what it was told is done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        asyncio.run(write(path, names, writing))
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        told = [next(lines) for _ in range(commits)]
        time.sleep(delay)  # the instant is the point: no event marks it
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        told += lines.readlines()
    return [line.strip() for line in told if line.endswith("\n")]


def check(path: Path, told: Sequence[str]) -> None:
    """Nothing acknowledged is lost, nothing is there by half, and SQLite finds no fault."""
    asyncio.run(_reopen(path))  # what a next process does first: recover
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        states = dict(connection.execute("SELECT id, state FROM orders").fetchall())
        proofs = {id_ for (id_,) in connection.execute("SELECT order_id FROM proofs")}
        (events,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
    done = {id_ for id_, state in states.items() if state == OrderState.PLACED.value}
    assert set(told) <= done, f"lost: {set(told) - done}"
    assert proofs == done, "a proof and its order's URL are one commit"
    assert events == len(done), "and so is the event"


async def _reopen(path: Path) -> None:
    async with open_ledger(path, clock=ManualClock(), node="n"):
        pass


def main(folder: Path, rounds: int, seed: int) -> None:
    rng, kept = random.Random(seed), 0
    for first in range(0, rounds, ROUNDS_A_LEDGER):
        path, told = folder / f"{first}.sqlite", list[str]()
        for number in range(first, min(first + ROUNDS_A_LEDGER, rounds)):
            told += kill_one(path, str(number), rng.randrange(1, 25), rng.random() * 0.003)
            if number % 4 == 3:  # and sometimes the log of several killed writers is recovered at once
                check(path, told)
        check(path, told)
        kept += len(told)
    sys.stdout.write(f"{rounds} killed, {kept} commits kept\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
