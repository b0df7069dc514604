"""FS1, FS4 on real file systems: full and read-only disks lose nothing and say what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

HEAD = """
import asyncio, os, signal, subprocess
from pathlib import Path
from certd.ledger.glance import glance
from certd.ledger.ledger import open_ledger
from certd.model.errors import StorageError
from certd.model.steps import Step
from tests.fakes.clock import ManualClock
from tests.unit.ledger.samples import GROUND, NAME, PLACED, generation, order, placed, proof
path = Path("{mount}/ledger.sqlite")

def opened():
    return open_ledger(path, clock=ManualClock(), node="n")

def fill():
    filler = 0
    while True:
        try:
            open(f"{mount}/filler{{filler}}", "xb", buffering=0).write(bytes(4096))
            filler += 1
        except OSError:
            return

def free():
    for file in path.parent.glob("filler*"):
        file.unlink()
"""

FULL = """
async def main():
    told = []
    async with opened() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND, generation())
        fill()
        try:
            for n in range(1000):
                row = order(f"o{{n}}", f"{{n}}.example", csr=bytes(2000))
                await ledger.commit(None, Step.INTENT_STORED, row, events=[PLACED])
                told.append(row)
        except StorageError as error:
            assert "full" in str(error), error
            assert "free some space" in error.hint, error.hint
        else:
            raise SystemExit("the disk was not full")
        assert await ledger.open_orders() == told, "what was told is there, and nothing else"
        assert len(await ledger.events()) == len(told)
        assert glance(path, NAME).generation == generation()
        free()
        await ledger.commit(None, Step.INTENT_STORED, order("late", "late.example"))
        assert len(await ledger.open_orders()) == len(told) + 1, "the same process goes on once there is space"
    fill()
    assert glance(path, NAME).generation == generation(), "nothing due needs no space"
    try:
        async with opened():
            raise SystemExit("the disk was not full")
    except StorageError as error:
        assert "full" in str(error) or "I/O" in str(error), error
        assert error.hint, error
    free()
    async with opened() as ledger:
        assert len(await ledger.open_orders()) == len(told) + 1
asyncio.run(main())
print("survived")
"""

READ_ONLY = """
async def main(die=False):
    async with opened() as ledger:
        await ledger.commit(None, Step.INTENT_STORED, *GROUND, generation(2 if die else 1))
        if die:
            os.kill(os.getpid(), signal.SIGKILL)

def remount(how):
    subprocess.run(["mount", "-o", f"remount,{{how}}", "{mount}"], check=True)

def refuses():
    try:
        asyncio.run(main())
    except StorageError as error:
        assert "readonly" in str(error) or "unable to open" in str(error), error
        assert "writable" in error.hint, error.hint
    else:
        raise SystemExit("it was written to")

asyncio.run(main())
remount("ro")
refuses()
assert glance(path, NAME).generation == generation(1)
remount("rw")
child = os.fork()
if child == 0:
    asyncio.run(main(die=True))
os.waitpid(child, 0)
assert path.with_name("ledger.sqlite-wal").stat().st_size
remount("ro")
refuses()
assert glance(path, NAME).generation == generation(2), "the log of who died is read as well"
remount("rw")
path.with_name("ledger.sqlite-shm").unlink()
remount("ro")
try:
    assert glance(path, NAME).generation == generation(2), "never a state of before"
except StorageError:
    pass
remount("rw")
asyncio.run(main())
assert glance(path, NAME).generation == generation(2)
print("survived")
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting needs root and unshare")
@pytest.mark.parametrize("script", [FULL, READ_ONLY], ids=["full", "read-only"])
def test_a_full_or_read_only_disk_loses_nothing(tmp_path: Path, script: str) -> None:
    mount = str(tmp_path)
    text = (HEAD + script).format(mount=mount)
    shell = f'mount -t tmpfs -o size=512k tmpfs "{mount}" && exec "{sys.executable}" -c "$1"'
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh", text]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=40, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
    assert done.stdout == "survived\n", done.stderr
