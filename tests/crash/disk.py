"""A small file system of its own for a test, in a mount namespace that ends with the tests."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.runs import Forks, forks
from tests.servers.requirement import Missing, program

BLOCK = 4096
FILLER = "filler"


@dataclass(frozen=True, slots=True)
class Disk:
    """`path`: where those in the namespace see it; `view`: where this process does."""

    forks: Forks
    path: Path
    view: Path

    def fill(self, *, leave: int) -> None:
        """Take all space but *leave* KiB."""
        free = os.statvfs(self.view).f_bavail * BLOCK
        with (self.view / FILLER).open("wb") as file:
            if free > leave * 1024:
                os.posix_fallocate(file.fileno(), 0, free - leave * 1024)

    def fill_inodes(self, *, leave: int) -> None:
        """Take all inodes but *leave*."""
        (self.view / FILLER).mkdir()
        for number in range(os.statvfs(self.view).f_favail - leave):
            (self.view / FILLER / str(number)).touch()

    def empty(self) -> None:
        """Space returns."""
        filler = self.view / FILLER
        for path in filler.iterdir() if filler.is_dir() else ():
            path.unlink()
        filler.rmdir() if filler.is_dir() else filler.unlink()

    async def run(self, *argv: str) -> None:
        """A program in the namespace; it must succeed."""
        ended = await (await self.forks.begin((), self.path.parent, program=argv)).end()
        assert ended.status == 0, ended


@contextmanager
def namespace() -> Iterator[Forks]:
    """A certd that forks in a mount namespace of its own."""
    as_root = os.geteuid() == 0
    options = ("--mount",) if as_root else ("--user", "--map-root-user", "--mount")
    with forks(("unshare", *options, "--propagation", "private")) as started:
        yield started


def mountable() -> bool | Missing:
    """Whether this machine lets us mount a tmpfs."""
    if isinstance(unshare := program("unshare", "util-linux"), Missing):
        return unshare
    options = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    argv = [str(unshare), *options, "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return True if done.returncode == 0 else Missing("this machine lets nobody mount a tmpfs in a namespace of its own")


@asynccontextmanager
async def small_disk(forks: Forks, folder: Path, options: str = "size=2m,nr_inodes=200") -> AsyncIterator[Disk]:
    """A tmpfs at *folder*/disk, for those in the namespace of *forks*."""
    path = folder / "disk"
    path.mkdir()
    disk = Disk(forks, path, Path(f"/proc/{forks.pid}/root") / path.relative_to("/"))
    await disk.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))
    try:
        yield disk
    finally:
        await disk.run("umount", str(path))
