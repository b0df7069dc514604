"""`certd`: commands are found by name and imported when they run: `--help` loads no aiohttp, acme or dns."""

import sys

import click

from certd import __version__
from certd.cli.commands import LazyGroup, run

#: Command → its line in `certd --help`.
COMMANDS: dict[str, str] = {
    "issue": "Obtain a certificate, or renew it when it is due.",
    "revoke": "Revoke a certificate.",
    "account": "Show, register, update, roll over or deactivate an account.",
    "providers": "List and describe challenge providers.",
    "devca": "Run the embedded ACME CA, for trying things out.",
    "demo": "Issue from the embedded CA and serve the result, on this machine only.",
}


@click.command(
    cls=LazyGroup,
    lines=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nA first certificate, from a CA inside this program:\n"
    "  certd issue --server dev -d demo.localhost --state-dir ./state",
)
@click.version_option(__version__, prog_name="certd", message="%(prog)s %(version)s")
def group() -> None:
    """Obtain, renew and prove TLS certificates from any ACME CA (RFC 8555)."""


def cli(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status (`certd.cli.exits`)."""
    return run(group, sys.argv[1:] if arguments is None else arguments)
