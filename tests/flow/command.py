"""The program itself, as a person starts it."""

import asyncio
import sys
from collections.abc import Sequence


async def certd(*arguments: object, launcher: Sequence[str] = ("-m", "certd"), pass_fds: Sequence[int] = ()) -> str:
    """Run `certd ARGUMENT…` to its end, which must be a good one; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *launcher, *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=pass_fds,
    )
    try:
        printed, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    text = printed.decode(errors="replace")
    assert process.returncode == 0, text
    return text
