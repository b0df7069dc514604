"""`certd demo`: parses, calls `certd.app.demo`, prints what happens as it happens."""

import sys
import tempfile
from pathlib import Path

import click

from certd.cli import options
from certd.cli.terminal import say as print_line


@click.command("demo")
@click.option(
    "--state-dir",
    type=options.A_DIRECTORY,
    help="Keep everything here.  [default: a new directory for temporary files]",
)
def command(state_dir: Path | None) -> None:
    """Issue two certificates from the embedded CA, serve one of them, and see it by a TLS handshake.

    Needs no root, no open port and no network: all of it happens on this machine's loopback.
    """
    from certd.app.demo import run_demo
    from certd.cli.progress import TerminalProgress
    from certd.cli.signals import run_until_signalled
    from certd.model.clock import SystemClock

    root = state_dir or Path(tempfile.mkdtemp(prefix="certd-demo-"))
    clock = SystemClock()

    def say(what: str, text: str) -> None:
        print_line(f"{clock.now():%H:%M:%S}   {what:10}   {text}")

    print_line(f"an ACME CA inside this program, its certificates trusted by nobody else; state in {root}")
    run_until_signalled(run_demo(root, say, TerminalProgress(quiet=True)))
    print_line(_files(root))


def _files(root: Path) -> str:
    from certd.app.demo import HTTP_NAME
    from certd.app.place import Place
    from certd.model.identifiers import CertName

    place = Place(root)
    live = place.live(CertName(HTTP_NAME))
    return (
        f"\nchain, key     {live / 'fullchain.pem'}, {live / 'privkey.pem'}\n"
        f"the CA's root  {place.dev_ca / 'root.pem'}\n"
        f"look at it     openssl x509 -noout -text -in {live / 'cert.pem'}\n"
        f"once more      {sys.argv[0]} demo --state-dir {root}\n"
        f"remove it      rm -r {root}"
    )
