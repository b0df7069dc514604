"""Requests counted at the CA: how often certd asks for one certificate, warm and as a new process."""

from collections import Counter

from bench.place import Places, cost
from bench.tables import Aim, Section

KINDS = (
    *("directory", "newNonce", "newAccount", "newOrder", "authorization", "challenge", "order", "finalize"),
    *("certificate", "renewalInfo"),
)
ENGINE, PROCESS = 7, 8  # and the one question of ARI


async def measure(places: Places) -> Section:
    async with places.new() as place, place.engine() as warm:
        before = place.ca.request_table()
        await warm.issue("warm.example.test")
        within = place.ca.request_table() - before
    async with places.new() as place:
        await cost(place.certd("cold.example.test"))
        cold = place.ca.request_table()
        await cost(place.certd("warm.example.test"))
        process = place.ca.request_table() - cold
    seen = {"engine, account there": within, "new process, account there": process, "new process, cold": cold}
    return Section(
        "Requests for one certificate",
        "Counted at the CA by resource; the tests hold these numbers (tests/flow/test_request_counts.py).",
        ("", *KINDS, "all"),
        [(name, *(str(counts[kind] or "") for kind in KINDS), str(counts.total())) for name, counts in seen.items()],
        [
            Aim("engine, without the question of ARI", _without_ari(within), ENGINE),
            Aim("new process, without the question of ARI", _without_ari(process), PROCESS),
        ],
    )


def _without_ari(counts: Counter[str]) -> int:
    return counts.total() - counts["renewalInfo"]
