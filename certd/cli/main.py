"""`certd`: commands are found by name and imported when they run: `--help` loads no aiohttp, acme or dns."""

import importlib
import sys

import click

from certd import __version__

#: Command → its line in `certd --help`. The module `certd.cli.<name>` holds an object `command`.
COMMANDS: dict[str, str] = {
    "issue": "Obtain a certificate, or renew it when it is due.",
    "revoke": "Revoke a certificate.",
    "account": "Show, register, update, roll over or deactivate an account.",
    "providers": "List and describe challenge providers.",
    "devca": "Run the embedded ACME CA, for trying things out.",
    "demo": "Issue from the embedded CA and serve the result, on this machine only.",
}


class LazyCommands(click.Group):
    """A group whose commands are imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"certd.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="certd", message="%(prog)s %(version)s")
def group() -> None:
    """Obtain, renew and prove TLS certificates from any ACME CA (RFC 8555).

    A first certificate, from a CA inside this program:  certd issue --server dev -d demo.localhost --state-dir ./state
    """


def cli(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status (`certd.cli.exits`)."""
    from certd.cli.exits import run

    return run(group, sys.argv[1:] if arguments is None else arguments)
