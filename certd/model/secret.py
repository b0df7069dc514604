"""Values that must never reach a log, an argv, a metric, an error or an event."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T", str, bytes)


class Secret(Generic[T]):
    """Prints as `***`; `reveal()` at the last moment, in the line that needs it.

    No dataclass, because `dataclasses.asdict` of options that hold a secret would lay it open.
    """

    __slots__ = ("_value",)
    _value: T

    def __init__(self, value: T) -> None:
        object.__setattr__(self, "_value", value)

    def reveal(self) -> T:
        return self._value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a secret cannot be changed")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __deepcopy__(self, memo: object) -> "Secret[T]":
        return self

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"


#: Turns a reference (`file:PATH`, `env:NAME`, `credential:NAME`) into its secret; raises ConfigError.
Resolve = Callable[[str], Secret[str]]
