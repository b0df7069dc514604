"""How each kind of error ends the process: one table; and how errors look.

0   done, or nothing to do
1   failed
2   usage or configuration
3   refused by policy
75  not now: try again later (EX_TEMPFAIL), with the moment
130, 143  interrupted (SIGINT, SIGTERM)
"""

import json
import os
import sys
from collections.abc import Mapping

import click

from certd.model.errors import CertdError, ConfigError, PolicyRefused, TryLater

DONE, FAILED, USAGE, REFUSED, LATER = 0, 1, 2, 3, 75

#: The first class that fits decides.
EXIT_STATUS: Mapping[type[CertdError], int] = {
    ConfigError: USAGE,
    PolicyRefused: REFUSED,
    TryLater: LATER,
    CertdError: FAILED,
}


class Interrupted(Exception):
    """A signal asked the command to stop; `status` is 128 + its number."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def run(group: click.Command, arguments: list[str]) -> int:
    """Run *group* with *arguments*, print its error if there is one, and return the exit status."""
    wants_json = "--json" in arguments
    try:
        outcome = group.main(arguments, prog_name="certd", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        return _usage(error, wants_json=wants_json)
    except CertdError as error:
        show_error(error, wants_json=wants_json)
        return exit_status(error)
    except Interrupted as interrupted:
        click.echo(f"{interrupted}", err=True)
        return interrupted.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return outcome if isinstance(outcome, int) else DONE


def exit_status(error: CertdError) -> int:
    return next(status for kind, status in EXIT_STATUS.items() if isinstance(error, kind))


def show_error(error: CertdError, *, wants_json: bool) -> None:
    """`error: …` with the hint on a line of its own; JSON on stdout where JSON was asked for."""
    if wants_json:
        click.echo(json.dumps(error_fields(error), ensure_ascii=False))
        return
    first, *more = str(error).split("\n")
    click.echo(f"{click.style('error:', fg='red')} {first}", err=True)
    for line in more:
        click.echo(f"{'  ' if line.startswith(' ') else 'error: '}{line.strip()}", err=True)
    if error.hint:
        head, *rest = error.hint.split("\n")
        click.echo(f"  hint: {head}", err=True)
        for line in rest:
            click.echo(f"        {line}", err=True)
    if isinstance(error, TryLater) and error.until is not None:
        click.echo(f"  again at {error.until:%Y-%m-%d %H:%M:%S}Z", err=True)


def error_fields(error: CertdError) -> dict[str, object]:
    """Stable keys; `retry_at` in RFC 3339."""
    until = error.until if isinstance(error, TryLater) else None
    return {
        "status": "error",
        "kind": type(error).__name__,
        "error": str(error),
        "hint": error.hint,
        "retry_at": until.isoformat() if until else None,
        "exit_status": exit_status(error),
    }


def _usage(error: click.ClickException, *, wants_json: bool) -> int:
    if wants_json:
        fields = {"status": "error", "kind": "UsageError", "error": error.format_message(), "exit_status": USAGE}
        click.echo(json.dumps(fields, ensure_ascii=False))
        return USAGE
    context = getattr(error, "ctx", None)
    message = error.format_message()
    click.echo(f"{click.style('error:', fg='red')} {message[:1].lower()}{message[1:].rstrip('.')}", err=True)
    if context is not None:
        click.echo(f"  hint: {context.command_path} --help", err=True)
    return USAGE
