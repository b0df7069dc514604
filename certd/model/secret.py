"""Values that must never reach a log, an argv, a metric, an error or an event."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T", str, bytes)


@dataclass(frozen=True, slots=True)
class Secret(Generic[T]):
    """Prints as `***`; `reveal()` at the last moment, in the line that needs it."""

    _value: T = field(repr=False)

    def reveal(self) -> T:
        return self._value

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"


#: Turns a reference (`file:PATH`, `env:NAME`, `credential:NAME`) into its secret; raises ConfigError.
Resolve = Callable[[str], Secret[str]]
