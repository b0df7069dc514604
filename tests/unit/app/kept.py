"""A state directory with one certificate from the embedded CA in it, made once and copied for each test."""

import asyncio
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from certd.app.issue import run_issue
from certd.app.request import ChallengeOptions, IssueRequest, OutOptions
from tests.fakes.publishers import Progress

NAMES = ("shop.test", "www.shop.test")
#: Nobody listens there: whoever asks this CA fails at once.
NOWHERE = "https://127.0.0.1:1/directory"


@dataclass(frozen=True, slots=True)
class Kept:
    """One copy: `state`, and `out` beside it with copies of the files."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def generation(self) -> Path:
        return self.state / "generations" / NAMES[0] / "1"

    def request(self, **changes: Any) -> IssueRequest:
        """What it was issued for, at a CA that is not there any more."""
        plain = IssueRequest(
            names=NAMES,
            server=NOWHERE,
            challenge=ChallengeOptions(http_address="127.0.0.1:0"),
            out=OutOptions(self.out),
            state_dir=self.state,
            wait=0.0,
        )
        return replace(plain, **changes)

    def copy(self, to: Path) -> "Kept":
        shutil.copytree(self.folder, to, symlinks=True)
        return Kept(to)

    def sql(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.state / "ledger.sqlite")) as ledger, ledger:
            ledger.execute(statement, values)

    def row(self, query: str) -> tuple[Any, ...]:
        with closing(sqlite3.connect(self.state / "ledger.sqlite")) as ledger:
            found: tuple[Any, ...] = ledger.execute(query).fetchone()
            return found

    def times(self) -> Mapping[str, datetime]:
        row = self.row(
            "SELECT g.not_before, g.not_after, r.due_at, r.next_fetch_at FROM generations g, renewals r ORDER BY 1"
        )
        names = ("not_before", "not_after", "due_at", "next_fetch_at")
        return {
            name: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)
            for name, value in zip(names, row, strict=True)
        }

    def shown(self) -> dict[str, tuple[int, str]]:
        """What others may read of it: each file below live/, generations/ and out/ with its mode and content."""
        return {
            str(path.relative_to(self.folder)): (path.lstat().st_mode, _content(path))
            for place in (self.state / "live", self.state / "generations", self.out)
            for path in sorted(place.rglob("*"))
        }


def _content(path: Path) -> str:
    if path.is_symlink():
        return str(path.readlink())
    return path.read_text() if path.is_file() else ""


def make(folder: Path) -> Kept:
    """Issue from the embedded CA, then let it have been NOWHERE."""
    made = Kept(folder)
    asyncio.run(run_issue(made.request(server="dev"), Progress()))
    for table in ("generations", "renewals", "accounts", "directories", "orders"):
        made.sql(f"UPDATE {table} SET issuer = ?", NOWHERE)  # noqa: S608 - names of ours
    return made
