"""A hundred names in one order: requests and seconds, beside certbot and lego."""

from contextlib import suppress
from statistics import median as middle

from bench.one_shot import Seen, obtain
from bench.place import Place, Places, TookTooLong, cost, median
from bench.tables import Aim, Section
from tests.servers.clients import Client

NAMES = tuple(f"n{number}.example.test" for number in range(100))
OURS, PEERS = 5, 3
MOST_REQUESTS, MOST_SECONDS = 210, 1.0


async def measure(places: Places) -> Section:
    seen = {name: Seen() for name in ("bare loop", "certd issue", *(c.value for c in (Client.CERTBOT, Client.LEGO)))}
    for _ in range(OURS):
        async with places.new() as place:
            await _note(seen["bare loop"], place, place.bare(*NAMES))
        async with places.new() as place:
            await cost(place.certd("account.example.test"))
            await _note(seen["certd issue"], place, place.certd(*NAMES))
    for client in (Client.CERTBOT, Client.LEGO):
        with suppress(TookTooLong):  # the others of its runs would, too
            for _ in range(PEERS):
                async with places.new() as place:
                    seen[client.value].costs.append(await obtain(client, place, NAMES))
                    seen[client.value].requests.append(place.ca.request_count())
    least = median(seen["bare loop"].costs)
    return Section(
        "A hundred names in one order, a whole process",
        f"http-01; certd with its account there, the others from cold state; medians of {OURS} and {PEERS} (peers).",
        ("client", "wall s", "CPU s", "requests", "wall ratio", "CPU ratio"),
        [each.row(name, least) for name, each in seen.items()],
        [
            Aim("requests", middle(seen["certd issue"].requests), MOST_REQUESTS),
            Aim("seconds", median(seen["certd issue"].costs).wall, MOST_SECONDS, " s"),
        ],
    )


async def _note(seen: Seen, place: Place, argv: tuple[str, ...]) -> None:
    before = place.ca.request_count()
    seen.costs.append(await cost(argv))
    seen.requests.append(place.ca.request_count() - before)
