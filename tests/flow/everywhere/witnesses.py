"""Who has seen what: the report names each scenario that one server alone has witnessed, be it devca or another."""

from collections import defaultdict
from collections.abc import Iterable

import pytest

PROPERTY = "witness"


def note(item: pytest.Item, server: str) -> None:
    """Let the report of *item* say which server its scenario ran at."""
    item.user_properties.append((PROPERTY, f"{server}|{_scenario(item)}"))


def lonely(passed: Iterable[object]) -> list[str]:
    """A line for each scenario that passed at one server only; none for a run in which there was but one."""
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for report in passed:
        for name, value in getattr(report, "user_properties", ()):
            if name == PROPERTY:
                server, _, scenario = str(value).partition("|")
                seen[scenario].add(server)
    if len(set().union(*seen.values())) < 2:
        return []
    alone = sorted((min(servers), scenario) for scenario, servers in seen.items() if len(servers) == 1)
    return [f"only {server} witnessed: {scenario}" for server, scenario in alone]


def _scenario(item: pytest.Item) -> str:
    """`a name is proven by http 01`, with what else was varied."""
    assert isinstance(item, pytest.Function)
    sentence = item.originalname.removeprefix("test_").replace("_", " ")
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    varied = [str(value) for name, value in parameters.items() if name not in {"authority", "own_authority"}]
    return " ".join([sentence, *(f"({each})" for each in varied)])
