"""How errors look: the identifier first, what was tried and what came back, then what happens next, then a hint.

    error: example.org: http-01 failed: 203.0.113.9: Invalid response from http://example.org/…: 404
      nothing was changed; 4 of 5 failed attempts left for this name this hour
      hint: …

Lines of a message that begin with a blank belong to the one above them; others are errors of their own. With `--json`
it is one object on stdout, with the same keys whatever happened (docs/json.md).
"""

import traceback
from collections.abc import Iterator, Sequence
from datetime import datetime

import click

from certd.cli.terminal import paint, print_json, say
from certd.model.clock import SystemClock
from certd.model.errors import CaRefused, CertdError, ChallengeFailed, Mistakes, TryLater
from certd.model.identifiers import Identifier
from certd.model.problems import Problem, Reaction
from certd.model.words import in_words, moment


class Interrupted(Exception):
    """A signal asked the command to stop; `status` is 128 + its number."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def show_error(error: CertdError, status: int, *, wants_json: bool) -> None:
    if wants_json:
        fields = error_fields(type(error).__name__, str(error), status, hint=error.hint)
        print_json(fields | {"retry_at": _when(error), "problems": [*_problems(error)]})
        return
    mistakes = error.mistakes if isinstance(error, Mistakes) else (error,)
    for mistake, following in zip(mistakes, [*mistakes[1:], None], strict=True):
        _show_lines(str(mistake))
        if following is None or following.hint != mistake.hint:
            _show_hint(mistake.hint)
    if again := _again(error):
        say(f"  {again}", err=True)


def show_usage(error: click.ClickException, status: int, *, wants_json: bool) -> None:
    """A command line that cannot be understood; for one that says nothing, the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not wants_json:
        say(error.format_message(), err=True)
        return
    message, hint = _usage_text(error)
    if wants_json:
        print_json(error_fields("UsageError", message, status, hint=hint))
        return
    _show_lines(message)
    _show_hint(hint)


def show_interrupted(interrupted: Interrupted, *, wants_json: bool) -> None:
    if wants_json:
        print_json(error_fields("Interrupted", str(interrupted), interrupted.status))
        return
    say(str(interrupted), err=True)


def show_bug(bug: Exception, status: int, *, wants_json: bool) -> None:
    """What no part of certd has raised on purpose. The traceback goes to stderr in any case."""
    say("".join(traceback.format_exception(bug)).rstrip(), err=True)
    message = f"an error that certd did not expect: {type(bug).__name__}: {bug}"
    hint = "this is a mistake in certd; please report it with the lines above. What was under way is in the journal"
    if wants_json:
        print_json(error_fields("Bug", message, status, hint=hint))
        return
    _show_lines(message)
    _show_hint(hint)


def error_fields(kind: str, message: str, status: int, *, hint: str = "") -> dict[str, object]:
    """Stable keys; `retry_at` in RFC 3339."""
    return {
        "status": "error",
        "kind": kind,
        "error": message,
        "hint": hint,
        "retry_at": None,
        "problems": [],
        "exit_status": status,
    }


def _show_lines(message: str) -> None:
    for number, line in enumerate(message.split("\n")):
        if number and line.startswith(" "):
            say(f"  {line.strip()}", err=True)
        else:
            say(f"{paint('error:', 'red')} {line.strip()}", err=True)


def _show_hint(hint: str) -> None:
    for number, line in enumerate(hint.split("\n") if hint else ()):
        say(f"        {line}" if number else f"  hint: {line}", err=True)


def _again(error: CertdError) -> str:
    """When it can succeed: the CA's moment or ours, on this machine's clock."""
    until, now = _until(error), SystemClock().now()
    if until is not None:
        return f"again at {moment(until, until)}" + (f" (in {in_words(until - now)})" if until > now else "")
    if isinstance(error, CaRefused) and error.problem.reaction is Reaction.LATER:
        return "again later; the CA did not say when"
    return ""


def _until(error: CertdError) -> datetime | None:
    if isinstance(error, TryLater):
        return error.until
    if isinstance(error, CaRefused) and error.problem.reaction is Reaction.LATER:
        return error.problem.retry_after
    return None


def _when(error: CertdError) -> str | None:
    until = _until(error)
    return until.isoformat() if until is not None else None


def _problems(error: CertdError) -> Iterator[dict[str, object]]:
    """What the CA said, one object an identifier."""
    if isinstance(error, ChallengeFailed):
        for identifier, problem in error.failed:
            yield _problem(identifier, problem)
    elif isinstance(error, CaRefused):
        of_names: Sequence[Problem] = [p for p in error.problem.subproblems if p.identifier]
        for problem in of_names or [error.problem]:
            yield _problem(problem.identifier, problem)


def _problem(identifier: Identifier | None, problem: Problem) -> dict[str, object]:
    return {
        "identifier": str(identifier) if identifier else None,
        "type": problem.type,
        "detail": problem.detail,
        "status": problem.status or None,
    }


def _usage_text(error: click.ClickException) -> tuple[str, str]:
    """What click says, as we do: lower case, no final dot, one suggestion."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path if context is not None else 'certd'} --help"
    if isinstance(error, click.NoSuchOption):
        message = f"there is no option {error.option_name}"
        if error.possibilities:
            message += f"; did you mean {_nearest(error.option_name, error.possibilities)}?"
    return f"{message[:1].lower()}{message[1:]}".rstrip("."), hint


def _nearest(wanted: str, known: Sequence[str]) -> str:
    import difflib

    return difflib.get_close_matches(wanted, known, 1, cutoff=0)[0]
