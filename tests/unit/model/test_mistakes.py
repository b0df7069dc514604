"""Every mistake at once, each with its hint."""

import pytest

from certd.model.errors import ConfigError, Mistakes, StorageError
from certd.model.mistakes import Checks


def halved(number: int) -> int:
    if number % 2:
        raise ConfigError(f"{number} is odd", hint="an even one")
    return number // 2


def test_checks_go_on_after_the_first_mistake() -> None:
    checks = Checks()
    assert [checks.of(halved, number) for number in (4, 3, 8, 5)] == [2, None, 4, None]
    with pytest.raises(Mistakes) as caught:
        checks.verdict()
    assert str(caught.value) == "3 is odd\n5 is odd"
    assert caught.value.hint == "an even one"
    assert [str(mistake) for mistake in caught.value.mistakes] == ["3 is odd", "5 is odd"]


def test_a_single_mistake_is_itself() -> None:
    checks = Checks()
    checks.of(halved, 3)
    with pytest.raises(ConfigError, match=r"^3 is odd$") as caught:
        checks.verdict()
    assert type(caught.value) is ConfigError


def test_no_mistake_is_no_error() -> None:
    checks = Checks()
    checks.of(halved, number=2)
    checks.verdict()


def test_what_is_no_mistake_is_raised_at_once() -> None:
    """A disk that fails is not the same kind of thing as a word that is wrong."""

    def fails() -> None:
        raise StorageError("state: full")

    with pytest.raises(StorageError):
        Checks().of(fails)


def test_mistakes_within_mistakes_lie_flat() -> None:
    one, two, three = (ConfigError(text) for text in "abc")
    assert Mistakes([one, Mistakes([two, three])]).mistakes == (one, two, three)
