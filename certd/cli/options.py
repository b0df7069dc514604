"""Options that several commands have in common, alike everywhere."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from certd.app.request import DEFAULT_SERVER, DEFAULT_STATE_DIR

F = TypeVar("F", bound=Callable[..., Any])
LONGEST_WAIT = 86400


class Absolute(click.Path):
    """A path that still means the same in another directory: in a server's configuration, or at the next run."""

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return Path(os.fsdecode(super().convert(value, param, ctx))).absolute()


def _a_day_at_most(_context: click.Context, _parameter: click.Parameter, seconds: float) -> float:
    if not 0 <= seconds <= LONGEST_WAIT:  # not a number is neither
        raise click.BadParameter(f"{seconds:g} is not between 0 and {LONGEST_WAIT} seconds")
    return seconds


A_FILE = click.Path(dir_okay=False, path_type=Path)
A_DIRECTORY = Absolute(readable=False, path_type=Path)

server = click.option(
    "--server",
    default=DEFAULT_SERVER,
    show_default=True,
    metavar="CA",
    help="letsencrypt, letsencrypt-staging, zerossl, google, dev, or a directory URL.",
)
ca_bundle = click.option("--ca-bundle", type=A_FILE, help="Roots (PEM) to trust for the CA's own API.")
email = click.option("-m", "--email", multiple=True, metavar="ADDRESS", help="Contact for the account; repeat.")
agree_tos = click.option("--agree-tos", is_flag=True, help="Agree to the CA's terms of service.")
account = click.option("--account", default="", metavar="URL", help="Use this account and no other.")
state_dir = click.option(
    "--state-dir",
    type=A_DIRECTORY,
    default=DEFAULT_STATE_DIR,
    show_default=True,
    envvar="CERTD_STATE_DIR",
    help="Where certd keeps accounts, keys and certificates. Also CERTD_STATE_DIR.",
)
wait = click.option(
    "--wait",
    type=float,
    callback=_a_day_at_most,
    default=60,
    metavar="SECONDS",
    help="How long to wait for another certd on this state.  [default: 60]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON (docs/json.md).")


def external_account(command: F) -> F:
    """`--eab-kid`, `--eab-hmac-key`, `--eab-algorithm` (RFC 8555 §7.3.4)."""
    for option in (
        click.option(
            "--eab-algorithm",
            type=click.Choice(["HS256", "HS384", "HS512"]),
            default="HS256",
            metavar="ALG",
            help="HS256, HS384 or HS512.  [default: HS256]",
        ),
        click.option(
            "--eab-hmac-key", default="", metavar="REF", help="Its HMAC key: file:PATH, env:NAME or credential:NAME."
        ),
        click.option(
            "--eab-kid", default="", metavar="KID", help="External account binding: the key id that the CA gave."
        ),
    ):
        command = option(command)
    return command
