"""A scenario is a test for every CA that does what it needs; the others are not in the table."""

from collections.abc import Iterable

import pytest

from tests.flow.everywhere.authorities import KINDS, Feature, Kind


def scenario(*needs: Feature, but: tuple[Feature, ...] = ()) -> pytest.MarkDecorator:
    """For each CA with all of *needs* and none of *but*."""
    return at(*_able(needs, but))


def each_server(*needs: Feature, but: tuple[Feature, ...] = (), key_type: str = "ec256") -> pytest.MarkDecorator:
    """For one CA of each server: what does not depend on how a CA is set up."""
    return at(*_one_each(kind for kind in _able(needs, but) if key_type in kind.key_types))


def at(*kinds: Kind) -> pytest.MarkDecorator:
    names = [kind.name for kind in kinds]
    return pytest.mark.parametrize("authority", names, indirect=True, scope="session")


def one_of_its_own(*needs: Feature) -> pytest.MarkDecorator:
    """For one CA of each server that is able, started for this test (`own_authority`)."""
    names = [kind.name for kind in _one_each(_able(needs, ()))]
    return pytest.mark.parametrize("own_authority", names, indirect=True)


def _able(needs: Iterable[Feature], but: Iterable[Feature]) -> list[Kind]:
    return [kind for kind in KINDS.values() if kind.features >= set(needs) and not kind.features & set(but)]


def _one_each(kinds: Iterable[Kind]) -> list[Kind]:
    """The first of each server, in the table's order."""
    found: dict[str, Kind] = {}
    for kind in kinds:
        found.setdefault(kind.server, kind)
    return list(found.values())
