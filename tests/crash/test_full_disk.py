"""A disk that fills up at any point of an issuance, and space returns; one that is read-only: nothing is lost (FS1)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.crash.disk import Disk, mountable, namespace, small_disk
from tests.crash.invariants import broken_at_the_end, broken_now
from tests.crash.runs import Ended, Forks
from tests.crash.scenarios import issued, renewed_again, wanted, well
from tests.crash.world import Way, World, world
from tests.servers.requirement import require

MOST = 480  # KiB; more than a first issuance needs
MOST_INODES = 40
BLOCKS, INODES = (0, 16, 40, 96, 188), (3, 4, 8, 14)


@pytest.fixture(scope="module")
def apart() -> Iterator[Forks]:
    require(mountable())
    with namespace() as started:
        yield started


@asynccontextmanager
async def on_a_disk(folder: Path, apart: Forks) -> AsyncIterator[tuple[World, Disk]]:
    async with small_disk(apart, folder) as disk, world(folder, apart, state=disk.path / "state") as w:
        w.view = disk.view / "state"
        yield w, disk


def spaces(most: int, step: int, short: tuple[int, ...]) -> list[Any]:
    """0, *step*, … *most*; all but *short* are long."""
    return [pytest.param(each, marks=() if each in short else (pytest.mark.long,)) for each in range(0, most, step)]


def says_full(ended: Ended) -> bool:
    """With what to do about it."""
    is_said = " full" in ended.err or "no space left" in ended.err.lower()
    return ended.status == 1 and is_said and "  hint: free some space" in ended.err


@pytest.mark.parametrize("leave", spaces(MOST, 4, BLOCKS))
async def test_a_first_issuance_that_runs_out_of_space_is_ended_by_the_next_run(
    tmp_path: Path, apart: Forks, leave: int
) -> None:
    async with on_a_disk(tmp_path, apart) as (w, disk):
        disk.fill(leave=leave)
        ended = await w.certd(*w.issue(Way.HTTP))
        assert ended.status == 0 or says_full(ended), ended
        assert broken_now(w.seen()) == []
        disk.empty()
        await well(w, *w.issue(Way.HTTP))
        assert broken_at_the_end(w.seen(), wanted(Way.HTTP, generations=1, orders=1)) == []


@pytest.mark.parametrize("leave", spaces(MOST_INODES, 1, INODES))
async def test_a_first_issuance_that_runs_out_of_inodes_is_ended_by_the_next_run(
    tmp_path: Path, apart: Forks, leave: int
) -> None:
    async with on_a_disk(tmp_path, apart) as (w, disk):
        disk.fill_inodes(leave=leave)
        ended = await w.certd(*w.issue(Way.HTTP))
        assert ended.status == 0 or says_full(ended), ended
        assert broken_now(w.seen()) == []
        disk.empty()
        await well(w, *w.issue(Way.HTTP))
        assert broken_at_the_end(w.seen(), wanted(Way.HTTP, generations=1, orders=1)) == []


@pytest.mark.parametrize("leave", spaces(MOST, 4, BLOCKS))
async def test_a_renewal_that_runs_out_of_space_keeps_what_is_served(tmp_path: Path, apart: Forks, leave: int) -> None:
    async with on_a_disk(tmp_path, apart) as (w, disk):
        await issued(w, Way.DNS)
        disk.fill(leave=leave)
        ended = await w.certd(*w.issue(Way.DNS, "--force"))
        assert ended.status == 0 or says_full(ended), ended
        assert broken_now(w.seen()) == []
        assert (disk.view / "state/live/shop/fullchain.pem").is_file()
        disk.empty()
        await renewed_again(w, Way.DNS)
        assert broken_at_the_end(w.seen(), wanted(Way.DNS, generations=2, orders=2)) == []


async def test_a_read_only_state_is_an_error_before_the_ca_is_asked(tmp_path: Path, apart: Forks) -> None:
    async with on_a_disk(tmp_path, apart) as (w, disk):
        await issued(w, Way.HTTP)
        await disk.run("mount", "-o", "remount,ro", str(disk.path))
        w.hell.forget()
        refused = await w.certd(*w.issue(Way.HTTP, "--force"))
        assert refused.status == 1, refused
        assert f"error: {w.state}: cannot write to this directory: the file system is read-only" in refused.err
        assert "hint: remount it" in refused.err
        fine = await well(w, *w.issue(Way.HTTP))
        assert fine.out.startswith("up to date"), "with nothing to do nothing is written"
        assert w.hell.count() == 0


async def test_a_new_state_on_a_read_only_disk_is_an_error_before_the_ca_is_asked(tmp_path: Path, apart: Forks) -> None:
    async with on_a_disk(tmp_path, apart) as (w, disk):
        await disk.run("mount", "-o", "remount,ro", str(disk.path))
        refused = await w.certd(*w.issue(Way.HTTP))
        assert refused.status == 1, refused
        assert f"error: {w.state}: cannot make the state directory: the file system is read-only" in refused.err
        assert w.hell.count() == 0
