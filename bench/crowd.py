"""`python -m bench.crowd bare|engine DIRECTORY BUNDLE PORT STATE COUNT AT_ONCE`: many certificates of one name each.

Timed from the moment at which the account is there. Prints seconds, and CPU seconds of all threads, as JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.bare_loop import bare_client
from bench.engine import engine
from certd.__main__ import collect_rarely

Issue = Callable[[str], Awaitable[object]]


async def crowd(issue: Issue, count: int, at_once: int) -> dict[str, float]:
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with gate:
            await issue(f"n{number}.example.test")

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


async def main(which: str, directory_url: str, bundle: str, port: str, state: str, count: str, at_once: str) -> None:
    if which == "bare":
        async with bare_client(directory_url, bundle, int(port)) as bare:
            spent = await crowd(bare.issue, int(count), int(at_once))
    else:
        collect_rarely()  # as in each certd
        async with engine(directory_url, Path(bundle), int(port), Path(state)) as ours:
            spent = await crowd(ours.issue, int(count), int(at_once))
    print(json.dumps(spent))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
