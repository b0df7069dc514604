"""Progress for people, on stderr: one line a name when it is decided, and what certd waits for."""

from collections.abc import Mapping

from certd.cli.terminal import mark, say
from certd.model.acme import ChallengeType
from certd.model.clock import monotonic
from certd.model.identifiers import Identifier

#: An order of a hundred names is told in one line, not a hundred.
MOST_LINES = 12


class TerminalProgress:
    """The workflow's `Progress`. ✓ and ✗ where the terminal can show them, `ok` and `FAIL` elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._began: dict[Identifier, float] = {}
        self._types: dict[Identifier, ChallengeType] = {}

    def validating(self, identifier: Identifier, type_: ChallengeType) -> None:
        self._began[identifier] = monotonic()
        self._types[identifier] = type_

    def valid(self, identifiers: Mapping[Identifier, ChallengeType | None]) -> None:
        if len(identifiers) > MOST_LINES:
            self._say(f"{len(identifiers)} names   {mark(good=True)} valid{self._longest()}")
            return
        width = max(len(str(identifier)) for identifier in identifiers)
        for identifier in sorted(identifiers, key=str):
            self._line(identifier, width, good=True)

    def failed(self, identifier: Identifier) -> None:
        width = max((len(str(each)) for each in [*self._began, identifier]), default=0)
        self._line(identifier, width, good=False)

    def note(self, text: str) -> None:
        self._say(text)

    def _line(self, identifier: Identifier, width: int, *, good: bool) -> None:
        began, type_ = self._began.get(identifier), self._types.get(identifier)
        took = f"   {monotonic() - began:.1f} s" if began is not None else ""
        how = type_.value if type_ else "known" if good else ""
        word = "valid" if good else "failed"
        self._say(f"{identifier!s:{width}}   {how:11}   {mark(good=good)} {word:6}{took}".rstrip())

    def _longest(self) -> str:
        return f"   {monotonic() - min(self._began.values()):.1f} s" if self._began else ""

    def _say(self, text: str) -> None:
        if not self._quiet:
            say(text, err=True)
