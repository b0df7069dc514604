"""`certd revoke NAME|FILE`: parses, calls `certd.app.revoke`, prints."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from certd.cli import options
from certd.cli.terminal import print_json, say
from certd.model.acme import RevocationReason

if TYPE_CHECKING:
    from certd.app.revoke import RevokeResult

REASONS = {reason.name.lower().replace("_", "-"): reason for reason in RevocationReason}


@click.command("revoke")
@click.argument("what", metavar="NAME|FILE")
@click.option(
    "--reason",
    type=click.Choice(list(REASONS)),
    default="unspecified",
    metavar="REASON",
    help=f"{', '.join(REASONS)}; a CA may take only some of them.  [default: unspecified]",
)
@click.option("--server", default="", metavar="CA", help="The CA, for a certificate that certd did not issue.")
@options.ca_bundle
@click.option("--key", type=options.A_FILE, help="The certificate's private key, where no account here ordered it.")
@options.state_dir
@options.wait
@options.as_json
def command(
    what: str,
    reason: str,
    server: str,
    ca_bundle: Path | None,
    key: Path | None,
    state_dir: Path,
    wait: float,
    as_json: bool,
) -> None:
    """Revoke a certificate, by its name here or by a file that holds it.

    Its files stay where they are; the next certd issue for its names replaces it. With key-compromise the request is
    signed by the certificate's own key, which the CA then refuses for ever.
    """
    from certd.app.revoke import RevokeRequest, revoke
    from certd.cli.signals import run_until_signalled

    request = RevokeRequest(what, REASONS[reason], state_dir, server, ca_bundle, key, wait)
    _print(run_until_signalled(revoke(request)), as_json=as_json)


def _print(result: "RevokeResult", *, as_json: bool) -> None:
    if as_json:
        print_json(_fields(result))
        return
    which = f"{result.name}, generation {result.generation}" if result.name else "a certificate from elsewhere"
    again = " (it had been revoked before)" if result.was_revoked else ""
    say(f"revoked   {which}, serial {result.serial}, at {result.issuer}, by the {result.by}{again}")
    if result.name:
        say("          the next certd issue for its names replaces it; its files are still in place until then")


def _fields(result: "RevokeResult") -> dict[str, object]:
    """Stable keys (docs/json.md)."""
    return {
        "status": "revoked",
        "name": result.name or None,
        "generation": result.generation or None,
        "serial": result.serial,
        "issuer": result.issuer,
        "reason": result.reason.name.lower(),
        "signed_by": result.by,
        "was_revoked": result.was_revoked,
    }
