"""Options that several commands have in common, alike everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from certd.app.request import DEFAULT_SERVER, DEFAULT_STATE_DIR

F = TypeVar("F", bound=Callable[..., Any])

A_FILE = click.Path(dir_okay=False, path_type=Path)
A_DIRECTORY = click.Path(file_okay=False, path_type=Path)

server = click.option(
    "--server",
    default=DEFAULT_SERVER,
    show_default=True,
    metavar="CA",
    help="letsencrypt, letsencrypt-staging, zerossl, google, dev, or a directory URL.",
)
ca_bundle = click.option("--ca-bundle", type=A_FILE, help="Roots (PEM) to trust for the CA's own API.")
email = click.option("-m", "--email", multiple=True, help="Contact for the account.")
agree_tos = click.option("--agree-tos", is_flag=True, help="Agree to the CA's terms of service.")
account = click.option("--account", default="", metavar="URL", help="Use this account and no other.")
state_dir = click.option(
    "--state-dir", type=A_DIRECTORY, default=DEFAULT_STATE_DIR, show_default=True, envvar="CERTD_STATE_DIR"
)
wait = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another certd on this state.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def external_account(command: F) -> F:
    """`--eab-kid`, `--eab-hmac-key`, `--eab-algorithm` (RFC 8555 §7.3.4)."""
    for option in (
        click.option(
            "--eab-algorithm", type=click.Choice(["HS256", "HS384", "HS512"]), default="HS256", show_default=True
        ),
        click.option(
            "--eab-hmac-key", default="", metavar="REF", help="Its HMAC key: file:PATH, env:NAME or credential:NAME."
        ),
        click.option("--eab-kid", default="", help="External account binding: the key id the CA gave."),
    ):
        command = option(command)
    return command
