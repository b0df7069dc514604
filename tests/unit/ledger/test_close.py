"""What SQLite deletes when the ledger is closed stays deleted."""

import os
from pathlib import Path

import pytest

from certd.ledger.ledger import open_ledger
from tests.fakes.clock import ManualClock


async def test_the_wal_is_gone_for_good_when_the_ledger_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A -wal that comes back damaged after a power cut (ext4 with data=writeback) takes the ledger back in time."""
    real, seen = os.fsync, []

    def fsync(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), tmp_path.stat()):
            seen.append(sorted(path.name for path in tmp_path.iterdir()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    async with open_ledger(tmp_path / "ledger.sqlite", clock=ManualClock(), node="n1"):
        assert (tmp_path / "ledger.sqlite-wal").exists()
    assert seen[-1:] == [["ledger.sqlite"]]
