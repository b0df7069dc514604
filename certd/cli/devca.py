"""`certd devca`: the embedded CA as a server of its own, until SIGINT or SIGTERM."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certd.cli import options as shared

if TYPE_CHECKING:
    from certd.devca import DevCa, Options


@click.command("devca")
@click.option("--listen", metavar="ADDR:PORT", default="127.0.0.1:14000", show_default=True, help="Loopback only.")
@click.option(
    "--state-dir",
    type=shared.A_DIRECTORY,
    metavar="DIR",
    help="Keep root, accounts, orders and certificates here; without it everything is new at each start.",
)
@click.option(
    "--profile",
    "profiles",
    metavar="NAME=LIFETIME",
    multiple=True,
    help="As in blink=40s; repeatable, the first is the default.",
)
@click.option("--http-port", default=80, metavar="PORT", show_default=True, help="Where http-01 is validated.")
@click.option(
    "--https-port", default=443, metavar="PORT", show_default=True, help="Where redirects of http-01 to https lead."
)
@click.option("--tls-port", default=443, metavar="PORT", show_default=True, help="Where tls-alpn-01 is validated.")
@click.option("--resolver", metavar="ADDR:PORT", help="Where dns-01 asks; without it dns-01 fails.")
@click.option(
    "--address",
    "addresses",
    metavar="NAME=ADDR[,ADDR]",
    multiple=True,
    help="Where a name, or *.SUFFIX, lies on loopback (127.0.0.1 otherwise); repeatable.",
)
@click.option(
    "--eab-keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Require an external account binding; a line each: KID, blank, MAC key in base64url.",
)
@click.option("--alternate-roots", type=click.IntRange(0, 31), metavar="NUMBER", help="Roots besides the first.")
@click.option(
    "--bad-nonce", type=click.FloatRange(0, 1), metavar="SHARE", help="Share of good nonces that are refused."
)
@click.option(
    "--authorization-reuse",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of valid authorizations used again.",
)
@click.option("--friendly", is_flag=True, help="No refused nonces, no delays, no oddities: for demos and benchmarks.")
@click.option("--json", "as_json", is_flag=True, help="Announce the CA as one line of JSON.")
def command(*, as_json: bool, **given: Any) -> None:
    """Run a small, strict ACME CA on this machine, for trying things out.

    It prints its directory URL and the root to trust, and issues for names under .test, .localhost, .internal and
    .home.arpa and for loopback addresses only. It is not a production CA.
    """
    from certd.cli.errors import Interrupted
    from certd.cli.signals import run_until_signalled
    from certd.devca.serve import say, serve
    from certd.devca.store import StateUnusable
    from certd.model.errors import CertdError

    options = _options(**given)
    try:
        run_until_signalled(serve(options, say, _json if as_json else _introduce))
    except Interrupted:
        return
    except StateUnusable as error:
        raise CertdError(str(error)) from error
    except OSError as error:
        where = error.filename or given["listen"]
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise CertdError(f"{where}: devca cannot start: {why}") from error


def _options(*, friendly: bool, listen: str, resolver: str | None, eab_keys: Path | None, **given: Any) -> "Options":
    from certd.devca.options import Options, read_address

    try:
        host, port = read_address(listen)
        chosen: dict[str, Any] = {
            "host": host,
            "port": port,
            "resolver": read_address(resolver) if resolver is not None else None,
            "addresses": dict(_address(each) for each in given.pop("addresses")),
            "eab_keys": _eab_keys(eab_keys) if eab_keys is not None else {},
            **_profiles(given.pop("profiles")),
            **{name: value for name, value in given.items() if value is not None},
        }
        return Options.friendly(**chosen) if friendly else Options(**chosen)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _profiles(given: tuple[str, ...]) -> dict[str, Any]:
    from certd.devca.options import read_profile

    return {"profiles": dict(read_profile(each) for each in given)} if given else {}


def _address(given: str) -> tuple[str, tuple[str, ...]]:
    name, _, addresses = given.partition("=")
    if not name or not addresses:
        raise ValueError(f"{given!r} is no NAME=ADDR[,ADDR]")
    return name, tuple(addresses.split(","))


def _eab_keys(path: Path) -> dict[str, bytes]:
    from certd.devca import base64url

    found = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            kid, key = line.split()
            found[kid] = base64url.decode(key)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not KID and MAC key in base64url: {error}") from None
    return found


def _introduce(ca: "DevCa") -> str:
    from certd.devca.serve import introduce

    at = f"{ca.options.sources[0]}:{ca.options.http_port}"
    tried = f"certd issue --server {ca.directory_url} --ca-bundle {ca.root_path} --agree-tos"
    return f"{introduce(ca)}\ntry it     {tried} -d demo.test --http-address {at} --state-dir ./state"


def _json(ca: "DevCa") -> str:
    import json

    return json.dumps({"directory_url": ca.directory_url, "root": str(ca.root_path)})
