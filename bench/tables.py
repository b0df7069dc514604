"""What a measurement says: a table, and each aim with what was seen."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Aim:
    """`what` shall be at most (or with `at_least`, at least) `bound`."""

    what: str
    seen: float
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.seen >= self.bound if self.at_least else self.seen <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.is_met else "**missed**"
        return f"{self.what}: {_short(self.seen)}{self.unit}, aim {sign} {_short(self.bound)}{self.unit}: {verdict}"


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    aims: Sequence[Aim]

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", self.about, ""]
        lines += [_line(self.head), _line(["---", *["---:"] * (len(self.head) - 1)]), *map(_line, self.rows), ""]
        lines += [f"- {aim}" for aim in self.aims]
        return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
