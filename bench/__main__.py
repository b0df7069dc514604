"""`python -m bench [NAME…] [--write]`: measure beside other clients; --write puts the figures into bench/README.md."""

import argparse
import asyncio
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import hundred_names, many, one_shot, requests_counted, start_up
from bench.place import Places, machine
from bench.tables import Section
from tests.servers.go_tools import ROOT

MEASUREMENTS: dict[str, Callable[[Places], Awaitable[Section]]] = {
    "requests": requests_counted.measure,
    "start": start_up.measure,
    "one": one_shot.measure,
    "hundred": hundred_names.measure,
    "many": many.measure,
}
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- figures: python -m bench --write -->\n", "<!-- end of figures -->\n"


async def run(names: list[str]) -> str:
    root = ROOT / ".cache" / "bench"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    parts = [f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine()}.\n"]
    print(parts[0])
    for name in names:
        section = await MEASUREMENTS[name](Places(root))
        parts.append(section.markdown())
        print(parts[-1], flush=True)
    return "\n".join(parts)


def write(figures: str) -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASUREMENTS)}; all without one")
    parser.add_argument("--write", action="store_true", help="put the figures into bench/README.md")
    given = parser.parse_args()
    if unknown := set(given.names) - set(MEASUREMENTS):
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}")
    figures = asyncio.run(run(given.names or list(MEASUREMENTS)))
    if given.write:
        write(figures)


if __name__ == "__main__":
    main()
