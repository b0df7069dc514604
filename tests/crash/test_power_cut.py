"""Power cuts: what ext4 had not been made to write is gone, and nothing that certd acted on is (CR2).

The state lies on an image in a loop device. A copy of the image at the instant of a death is what the device had then:
file system and certd go on from that copy, while the CA remembers everything.
"""

import mmap
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.disk import Disk, namespace
from tests.crash.invariants import broken_at_the_end, broken_now
from tests.crash.runs import KILLED, Forks
from tests.crash.scenarios import ISSUE, RENEW, Scenario, wanted, well
from tests.crash.test_system_calls import OPEN, RENAME, SEND, SYNC, WRITE, traced
from tests.crash.world import NAME, Way, World, world
from tests.servers.requirement import Missing, program, require, root

pytestmark = pytest.mark.long

SIZE = 16 * 1024 * 1024
INSTANTS = 200
SHARES = 16
MODES = ("ordered", "writeback")  # ext4's data=: what a cut may leave of a file's content differs
SCENARIOS = ((ISSUE, Way.HTTP), (RENEW, Way.DNS))
STEPS = [
    pytest.param(scenario, way, death, id=f"{scenario.name}-{way.value}-{death}")
    for scenario, way in SCENARIOS
    for death in scenario.deaths(way)
]


@dataclass(frozen=True, slots=True)
class Power:
    """A state directory on a device of its own."""

    disk: Disk
    image: Path
    options: str

    async def on(self) -> None:
        await self.disk.run("mount", "-o", f"loop,commit=300,{self.options}", str(self.image), str(self.disk.path))

    async def cut(self) -> None:
        """Only what the device has been given survives; it is checked, and mounted again."""
        survived = self.image.with_suffix(".cut")
        shutil.copyfile(self.image, survived)
        await self.disk.run("umount", str(self.disk.path))
        survived.replace(self.image)
        await self.disk.run("sh", "-c", 'e2fsck -fy "$0" || test $? -eq 1', str(self.image))
        await self.on()


@pytest.fixture(scope="module")
def apart() -> Iterator[Forks]:
    require(root())
    require(program("mkfs.ext4", "e2fsprogs"))
    with namespace() as started:
        yield started


@asynccontextmanager
async def powered(folder: Path, apart: Forks, mode: str = "ordered") -> AsyncIterator[tuple[World, Power]]:
    path, image = folder / "disk", folder / "disk.image"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE)
    disk = Disk(apart, path, Path(f"/proc/{apart.pid}/root") / path.relative_to("/"))
    power = Power(disk, image, f"data={mode}")
    await disk.run("mkfs.ext4", "-q", "-m", "0", str(image))
    try:
        await power.on()
    except AssertionError as refusal:
        require(Missing(f"this machine mounts no loop devices: {refusal}"))
    try:
        async with world(folder, apart, state=path / "state") as w:
            w.view = disk.view / "state"
            yield w, power
    finally:
        await disk.run("umount", str(path))


@pytest.mark.parametrize(("scenario", "way", "death"), STEPS)
async def test_a_power_cut_at_any_step_costs_no_more_than_the_same_command_again(
    tmp_path: Path, apart: Forks, scenario: Scenario, way: Way, death: str
) -> None:
    async with powered(tmp_path, apart) as (w, power):
        await scenario.before(w, way)
        w.hold(death)
        ended = await w.certd(*scenario.command(w, way), point=death)
        await power.cut()
        w.may_look.set()
        assert ended.status == KILLED, ended
        assert broken_now(w.seen()) == []
        await scenario.again(w, way)
        assert broken_at_the_end(w.seen(), scenario.goal(way)) == []


@pytest.mark.parametrize("number", range(INSTANTS))
async def test_a_power_cut_at_any_instant_does_neither(tmp_path: Path, apart: Forks, number: int) -> None:
    """In the middle of a write, of a checkpoint, between two renames."""
    require(program("strace", "strace"))
    dice = random.Random(number)
    calls, most = dice.choice([(SYNC, 20), (WRITE, 120), (RENAME, 4), (SEND, 25), (OPEN, 12)])
    async with powered(tmp_path, apart, dice.choice(MODES)) as (w, power):
        arguments = w.issue(Way.HTTP)
        await traced(w, f"{calls}:signal=KILL:when={dice.randint(1, most)}", *arguments)
        await power.cut()
        assert broken_now(w.seen()) == []
        await well(w, *arguments)
        assert broken_at_the_end(w.seen(), wanted(Way.HTTP, generations=1, orders=1)) == []


@pytest.mark.parametrize("share", [each / SHARES for each in range(SHARES)])
@pytest.mark.parametrize("mode", MODES)
async def test_what_was_said_to_be_done_is_done(tmp_path: Path, apart: Forks, mode: str, share: float) -> None:
    """Exit status 0 is a promise, whatever others write before the cut.

    With data=writeback ext4 gives the blocks of a file that was just deleted to whoever writes next. If the deletion
    itself gets lost, SQLite finds a -wal that is valid to the middle, and takes the ledger back in time.
    """
    async with powered(tmp_path, apart, mode) as (w, power):
        for generation in (1, 2):
            await well(w, *w.issue(Way.HTTP, "--force"))
            others_write(power.disk.view / "others", share)
            await power.cut()
            assert broken_at_the_end(w.seen(), wanted(Way.HTTP, generations=generation, orders=generation)) == []
        w.hell.forget()
        again = await well(w, *w.issue(Way.HTTP))
        assert again.out.startswith(f"up to date   {NAME}")
        assert w.hell.count() == 0


def others_write(path: Path, share: float) -> None:
    """A share of what is free, past the page cache: data that the device has before the file system has told of it."""
    path.unlink(missing_ok=True)
    found = os.statvfs(path.parent)
    blocks = mmap.mmap(-1, 4096)
    blocks.write(b"not yours" * (len(blocks) // 9))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
    for _ in range(int(share * found.f_bavail * found.f_frsize) // len(blocks)):
        os.write(descriptor, blocks)
    os.close(descriptor)
