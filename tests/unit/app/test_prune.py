"""Pruning as a run does it: files, then rows, whatever happens in between; never what a link shows."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from certd.app.house import House, open_house
from certd.app.prune import prune_if_due
from certd.files.generations import write_generation
from certd.files.live import live_number, switch_live
from certd.files.pems import Pems
from certd.files.quarantine import keep_odd_chain
from certd.model.identifiers import CertName
from certd.model.keys import KeyId
from certd.model.records import OrderState
from certd.model.steps import Step, set_trap
from tests.fakes.clock import START, ManualClock
from tests.unit.ledger.samples import DAY, GROUND, NAME, generation, key, order

PEMS = Pems(b"leaf\n", b"chain\n", b"key\n")
OTHER = CertName("other.example")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def house(tmp_path: Path, clock: ManualClock) -> AsyncIterator[House]:
    async with open_house(tmp_path / "state", wait=0, clock=clock) as opened:
        yield opened


async def issue(house: House, *numbers: int, name: CertName = NAME) -> None:
    """Expired generations with rows and files; `live/` shows the last."""
    for number in numbers:
        row = generation(number, name, key_id=KeyId(f"{name}-{number}"), not_after=START - DAY)
        await house.ledger.commit(None, Step.GENERATION_STORED, *GROUND, key(f"{name}-{number}"), row)
        write_generation(house.place.root, name, number, PEMS)
        switch_live(house.place.root, name, number)


async def rows(house: House, name: CertName = NAME) -> list[int]:
    return sorted(g.number for g in await house.ledger.generations(name))


def files(house: House, name: CertName = NAME) -> list[int]:
    directory = house.place.generation(name, 1).parent
    return sorted(int(p.name) for p in directory.iterdir())


async def test_old_generations_leave_the_disk_and_the_ledger(house: House) -> None:
    await issue(house, *range(1, 9))
    await issue(house, 1, 2, name=OTHER)
    pruned = await prune_if_due(house)
    assert pruned is not None
    assert pruned.generations == 3
    keys = {id_ for (id_,) in await house.ledger.rows("SELECT id FROM keys WHERE id LIKE '%.%'")}
    assert keys == {f"{NAME}-{n}" for n in range(4, 9)} | {f"{OTHER}-{n}" for n in (1, 2)}
    assert await rows(house) == files(house) == [4, 5, 6, 7, 8]
    assert await rows(house, OTHER) == files(house, OTHER) == [1, 2]
    assert live_number(house.place.root, NAME) == 8


async def test_it_is_done_once_a_day(house: House, clock: ManualClock) -> None:
    assert await prune_if_due(house) is not None
    await issue(house, *range(1, 9))
    assert await prune_if_due(house) is None
    assert len(files(house)) == 8
    await clock.advance(timedelta(days=1))
    assert await prune_if_due(house) is not None
    assert len(files(house)) == 5


async def test_what_live_shows_stays_on_the_disk_and_in_the_ledger(house: House) -> None:
    """The files of newer ones could not be written for a long time: servers read the old ones, certd knows them."""
    await issue(house, 2)
    rows_only = [generation(n, not_after=START - DAY) for n in range(3, 12)]
    await house.ledger.commit(None, Step.GENERATION_STORED, *rows_only)
    await prune_if_due(house)
    assert files(house) == [2]
    assert await rows(house) == [2, 7, 8, 9, 10, 11]


async def test_files_without_rows_go_and_rows_without_files_as_well(house: House) -> None:
    """Whatever a crash, or a backup of one half, left behind."""
    await issue(house, *range(1, 9))
    write_generation(house.place.root, NAME, 9, PEMS)
    await house.ledger.change(Step.PRUNED, lambda c: c.execute("DELETE FROM generations WHERE number = 2").rowcount)
    for file in house.place.generation(NAME, 1).iterdir():
        file.unlink()
    house.place.generation(NAME, 1).rmdir()
    await prune_if_due(house)
    assert await rows(house) == [4, 5, 6, 7, 8]
    assert files(house) == [4, 5, 6, 7, 8, 9], "one above all of them is being made, or a newer ledger's"


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
async def test_a_crash_at_any_step_is_harmless_and_the_next_run_ends_it(house: House, cut: int) -> None:
    """Files first, rows then: no private key is left on the disk that no row names, and the day is not marked."""
    await issue(house, *range(1, 9))
    edges = 0

    def trap(which: Step, edge: str) -> None:
        nonlocal edges
        edges += which in {Step.FILES_PRUNED, Step.PRUNED}
        if edges == cut:
            raise KeyboardInterrupt

    set_trap(trap)
    try:
        with pytest.raises(KeyboardInterrupt):
            await prune_if_due(house)
    finally:
        set_trap(None)
    assert set(files(house)) <= set(await rows(house))
    assert {4, 5, 6, 7, 8} <= set(files(house))
    await prune_if_due(house)
    assert await rows(house) == files(house) == [4, 5, 6, 7, 8]


async def test_one_name_whose_link_is_foreign_keeps_all_it_has(house: House, caplog: pytest.LogCaptureFixture) -> None:
    await issue(house, *range(1, 9))
    await issue(house, *range(1, 9), name=OTHER)
    link = house.place.live(NAME)
    link.unlink()
    link.mkdir()
    with caplog.at_level(logging.WARNING, "certd.prune"):
        pruned = await prune_if_due(house)
    assert pruned is not None
    assert pruned.generations == 3
    assert await rows(house) == files(house) == list(range(1, 9))
    assert await rows(house, OTHER) == files(house, OTHER) == [4, 5, 6, 7, 8]
    assert [(record.message, record.cert) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("old files stay; tried again tomorrow", NAME)
    ]


async def test_a_disk_that_refuses_is_no_reason_to_fail(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """What was asked for is done by then."""
    await house.ledger.change(Step.PRUNED, lambda c: c.execute("DROP TABLE failures").rowcount)
    with caplog.at_level(logging.WARNING, "certd.prune"):
        assert await prune_if_due(house) is None
    assert [record.message for record in caplog.records] == ["pruning failed; tried again at the next run"]


async def test_odd_chains_go_with_their_order(house: House, clock: ManualClock) -> None:
    old, young = order("a1", state=OrderState.DEAD), order("b2", OTHER, state=OrderState.DEAD)
    young = replace(young, created_at=START + 60 * DAY)
    await house.ledger.commit(None, Step.INTENT_STORED, *GROUND, old, young)
    paths = [keep_odd_chain(house.place.root, row.name, row.id, "odd\n") for row in (old, young)]
    await clock.advance(91 * DAY)
    pruned = await prune_if_due(house)
    assert pruned is not None
    assert pruned.orders == 1
    assert [path.exists() for path in paths] == [False, True]
