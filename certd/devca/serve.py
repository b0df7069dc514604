"""devca as a program of its own: says where it is, and runs until it is cancelled."""

import asyncio
import sys
from collections.abc import Callable

from certd.devca.options import Options
from certd.devca.server import DevCa

NOTICE = (
    "a test CA: it issues for .test, .localhost, .internal, .home.arpa and loopback addresses only, not for production"
)


def say(line: str) -> None:
    """To stdout, at once, also where that is a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def introduce(ca: DevCa) -> str:
    """Directory URL and root path, a line each, for people."""
    names = ", ".join(ca.options.profiles)
    return f"directory  {ca.directory_url}\nroot       {ca.root_path}\nprofiles   {names}\n{NOTICE}"


async def serve(
    options: Options, announce: Callable[[str], None] = say, introduction: Callable[[DevCa], str] = introduce
) -> None:
    """Run a CA and announce it once it answers. Ends by cancellation.

    Raises OSError where it cannot listen, StateDirInUse beside another devca on the same state directory.
    """
    async with DevCa.start(options) as ca:
        announce(introduction(ca))
        await asyncio.Event().wait()
