"""One certificate, whole processes from cold state (no account, no cache), beside other clients."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median as middle

from bench.place import LIMIT, Cost, Place, Places, cost, median
from bench.tables import Aim, Section
from tests.servers.clients import Client, Wanted, client_program, commands, served
from tests.servers.pebble import Flavour
from tests.servers.requirement import Missing

NAME = "one.example.test"
OURS, PEERS = 9, 3  # times

# 0.45 s and 0.40 s where the bare loop takes 0.29 s and 0.27 s.
MOST_WALL, MOST_CPU = 0.45 / 0.29, 0.40 / 0.27


@dataclass(slots=True)
class Seen:
    costs: list[Cost] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    def row(self, name: str, least: Cost) -> tuple[str, ...]:
        if not self.costs:
            return (name, f"> {LIMIT:.0f}", *["" for _ in range(4)])
        mid = median(self.costs)
        return (
            name,
            f"{mid.wall:.2f}",
            f"{mid.cpu:.2f}",
            f"{middle(self.requests):.0f}",
            f"{mid.wall / least.wall:.2f}",
            f"{mid.cpu / least.cpu:.2f}",
        )


Run = Callable[[Place], Awaitable[Cost]]


async def measure(places: Places) -> Section:
    bare, cold, warm = Seen(), Seen(), Seen()
    for _ in range(OURS):
        await _once(places, bare, lambda place: cost(place.bare(NAME)))
        async with places.new() as place:
            cold.costs.append(await cost(place.certd(NAME)))
            cold.requests.append(before := place.ca.request_count())
            warm.costs.append(await cost(place.certd(f"second.{NAME}")))
            warm.requests.append(place.ca.request_count() - before)
    least, ours = median(bare.costs), median(cold.costs)
    rows = [
        bare.row("bare loop", least),
        cold.row("certd issue", least),
        warm.row("certd issue, account there", least),
        *[seen.row(name, least) async for name, seen in _peers(places)],
    ]
    return Section(
        "One certificate, a whole process",
        f"Cold state but where said, http-01; medians of {OURS} (bare loop and certd in turn) and {PEERS} (others).",
        ("client", "wall s", "CPU s", "requests", "wall ratio", "CPU ratio"),
        rows,
        [
            Aim("wall, as a multiple of the bare loop's", ours.wall / least.wall, MOST_WALL),
            Aim("CPU, as a multiple of the bare loop's", ours.cpu / least.cpu, MOST_CPU),
        ],
    )


async def _once(places: Places, seen: Seen, run: Run, flavour: Flavour = Flavour.CURRENT) -> None:
    async with places.new(flavour) as place:
        seen.costs.append(await run(place))
        seen.requests.append(place.ca.request_count())


async def _peers(places: Places) -> AsyncIterator[tuple[str, Seen]]:
    for client in Client:
        # Debian's uacme stops at challenges without a token, which the current Pebble offers.
        flavour = Flavour.DEBIAN if client is Client.UACME else Flavour.CURRENT
        seen = Seen()
        for _ in range(PEERS):
            await _once(places, seen, partial(obtain, client), flavour)
        yield f"{client.value}{', old Pebble' if flavour is Flavour.DEBIAN else ''}", seen


async def obtain(client: Client, place: Place, names: tuple[str, ...] = (NAME,)) -> Cost:
    """What another client costs, its account included."""
    program = client_program(client)
    if isinstance(program, Missing):
        raise TypeError(program.reason)
    wanted = Wanted(place.ca.directory_url, place.ca.ca_bundle, names, place.port, place.folder / client.value)
    todo, total = commands(client, program, wanted), Cost(0, 0)
    async with served(todo.webroot, wanted):
        for argv in (todo.account, todo.issue):
            if argv:
                total += await cost(argv, todo.env)
    return total
