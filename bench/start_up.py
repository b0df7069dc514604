"""`certd --help`, and `certd issue` with nothing due, beside a Python that does nothing."""

from bench.place import CERTD, PYTHON, Places, cost, median
from bench.tables import Aim, Section

TIMES = 21
MOST = 10.0


async def measure(places: Places) -> Section:
    async with places.new() as place:
        nothing_due = place.certd("due.example.test")
        await cost(nothing_due)
    # Pebble has ended: what is asked of a CA from here on fails.
    programs = {
        "python3 -c pass": (PYTHON, "-c", "pass"),
        "certd --help": (CERTD, "--help"),
        "certd issue, nothing due": nothing_due,
    }
    costs = {name: [await cost(argv)] for name, argv in programs.items()}
    for _ in range(TIMES - 1):
        for name, argv in programs.items():
            costs[name].append(await cost(argv))
    medians = {name: median(each[1:]) for name, each in costs.items()}
    least = medians["python3 -c pass"].wall
    return Section(
        "Starting, and nothing to do",
        f"Medians of {TIMES - 1}, one after the other in turn; the CA had ended, so none can have been asked.",
        ("program", "wall ms", "CPU ms", "times python3"),
        [
            (f"`{name}`", f"{each.wall * 1e3:.0f}", f"{each.cpu * 1e3:.0f}", f"{each.wall / least:.1f}")
            for name, each in medians.items()
        ],
        [Aim(f"`{name}`", medians[name].wall / least, MOST, " times") for name in list(programs)[1:]],
    )
