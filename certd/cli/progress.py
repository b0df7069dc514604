"""Progress for people, on stderr: one line a name when it is decided, and what certd waits for."""

import sys
from collections.abc import Mapping

import click

from certd.model.acme import ChallengeType
from certd.model.clock import monotonic
from certd.model.identifiers import Identifier

#: An order of a hundred names is told in one line, not a hundred.
MOST_LINES = 12


class TerminalProgress:
    """The workflow's `Progress`. ✓ and ✗ where the terminal can show them, `ok` and `FAIL` elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._began: dict[Identifier, float] = {}
        self._types: dict[Identifier, ChallengeType] = {}
        self._utf8 = (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"

    def validating(self, identifier: Identifier, type_: ChallengeType) -> None:
        self._began[identifier] = monotonic()
        self._types[identifier] = type_

    def valid(self, identifiers: Mapping[Identifier, ChallengeType | None]) -> None:
        if len(identifiers) > MOST_LINES:
            self._say(f"{len(identifiers)} names   {self._sign(good=True)} valid")
            return
        width = max(len(str(identifier)) for identifier in identifiers)
        for identifier in sorted(identifiers, key=str):
            self._line(identifier, width, good=True)

    def failed(self, identifier: Identifier) -> None:
        self._line(identifier, len(str(identifier)), good=False)

    def note(self, text: str) -> None:
        self._say(text)

    def _line(self, identifier: Identifier, width: int, *, good: bool) -> None:
        type_ = self._types.get(identifier)
        took = f"{monotonic() - self._began[identifier]:.1f} s" if identifier in self._began else "valid already"
        how = type_.value if type_ else "-"
        word = "valid" if good else "failed"
        self._say(f"{identifier!s:{width}}   {how:11}   {self._sign(good=good)} {word:8}   {took}")

    def _sign(self, *, good: bool) -> str:
        if self._utf8:
            return click.style("✓", fg="green") if good else click.style("✗", fg="red")
        return "ok" if good else "FAIL"

    def _say(self, text: str) -> None:
        if not self._quiet:
            click.echo(text, err=True)
