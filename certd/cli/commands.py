"""The kinds of commands that `certd` is made of: groups that know what was meant, and long helps in sections.

This is imported at every start: nothing here may cost time.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import click


def run(group: click.Command, arguments: list[str]) -> int:
    """Run *group* with *arguments*, print its error if there is one; the exit status (`certd.cli.exits`)."""
    try:
        outcome = group.main(arguments, prog_name="certd", standalone_mode=False)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as failure:  # noqa: BLE001 - the edge of the program: whoever asked for JSON gets JSON
        from certd.cli.exits import end

        return end(failure, wants_json="--json" in arguments)
    return outcome if isinstance(outcome, int) else 0


class Group(click.Group):
    """Commands under one word; a near miss is answered with what was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], known, 1)
            ctx.fail(f"there is no command {args[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group whose commands are imported one at a time, when they run.

    *lines*: command → its line in the help. The module `certd.cli.<command>` holds an object `command`.
    """

    def __init__(self, *args: Any, lines: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lines = lines

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._lines:
            return None
        command: click.Command = importlib.import_module(f"certd.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))


class Sectioned(click.Command):
    """A command with many options. *sections*: the first option of each section → its title.

    An argument without an option is answered with *stray*. *short*: short options → their long forms.
    """

    def __init__(
        self, *args: Any, sections: Mapping[str, str], stray: str, short: Mapping[str, str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.allow_extra_args = True
        self._sections = sections
        self._stray = stray
        self._short = short

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # click takes each `-d` for a mistyped long option first, and looks for what may have been meant: 5 ms for
        # the first one, and a comparison with all options for every other.
        rest = super().parse_args(ctx, [self._short.get(each, each) for each in args])
        if ctx.args:
            ctx.fail(self._stray.format(*ctx.args))
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: list[tuple[str, list[tuple[str, str]]]] = [("Options", [])]
        for parameter in self.get_params(ctx):
            if title := self._sections.get(parameter.name or ""):
                sections.append((title, []))
            if record := parameter.get_help_record(ctx):
                sections[-1][1].append(record)
        for title, records in sections:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=28)
