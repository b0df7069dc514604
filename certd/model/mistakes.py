"""Every mistake at once: what a person typed is checked to its end, and not only to the first thing that is wrong."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from certd.model.errors import ConfigError, Mistakes

P = ParamSpec("P")
T = TypeVar("T")


class Checks:
    """Collects ConfigErrors; `verdict` raises them: the one there is, or several as `Mistakes`."""

    def __init__(self) -> None:
        self._found: list[ConfigError] = []

    def of(self, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What *check* returns; None when it raised a ConfigError, which is kept."""
        try:
            return check(*args, **kwargs)
        except ConfigError as mistake:
            self._found.append(mistake)
            return None

    def verdict(self) -> None:
        """Raise what was found, if anything was."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise Mistakes(self._found)
