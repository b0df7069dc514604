"""Other people's ACME clients: certbot (PyPI, in an environment of its own), lego, dehydrated and uacme (Debian).

They prove that devca is an ACME server and not an echo of certd, and benches run beside them. Each is told all by
arguments, environment and files in its folder; the folder used again is a warm account.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from aiohttp import web

from tests.servers.go_tools import ROOT
from tests.servers.process import LOOPBACK
from tests.servers.requirement import Missing, program, require

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


class Client(Enum):
    CERTBOT = "certbot"
    LEGO = "lego"
    DEHYDRATED = "dehydrated"
    UACME = "uacme"


class ClientFailed(Exception):
    """What it printed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One certificate over http-01. `ca_bundle`: PEM, what the CA's API is trusted by."""

    directory_url: str
    ca_bundle: Path
    names: tuple[str, ...]
    http_port: int
    folder: Path
    http_address: str = LOOPBACK


@dataclass(frozen=True, slots=True)
class Commands:
    """What to run, one after the other: `account` once in a folder, then `issue`. `webroot`: to be served."""

    issue: tuple[str, ...]
    chain: Path  # where the certificate lies afterwards: leaf first, PEM
    account: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    webroot: Path | None = None


def client_program(client: Client) -> Path | Missing:
    match client:
        case Client.CERTBOT:
            found = ROOT / ".venv-certbot" / "bin" / "certbot"
            return found if found.exists() else Missing("certbot is not installed: make servers")
        case Client.UACME:
            # Its TLS library reads only the system's own bundle: ours is mounted over it, for this process alone.
            return (
                program("uacme", "uacme") if _may_mount() else Missing("uacme: nobody may mount here (unshare --mount)")
            )
        case Client.LEGO | Client.DEHYDRATED:
            return program(client.value, client.value)


async def obtain(client: Client, wanted: Wanted, *, limit: float = 120) -> str:
    """The chain, PEM; the test is skipped (or fails) where the client is missing. Raises `ClientFailed`."""
    todo = commands(client, require(client_program(client)), wanted)
    async with asyncio.timeout(limit), served(todo.webroot, wanted):
        for argv in (todo.account, todo.issue):
            if argv:
                await _run(argv, todo.env)
    return todo.chain.read_text()


def commands(client: Client, binary: Path, wanted: Wanted) -> Commands:
    """How *client* is told to get what is *wanted*; makes its folders and files."""
    wanted.folder.mkdir(parents=True, exist_ok=True)
    match client:
        case Client.CERTBOT:
            return _certbot(binary, wanted)
        case Client.LEGO:
            return _lego(binary, wanted)
        case Client.DEHYDRATED:
            return _dehydrated(binary, wanted)
        case Client.UACME:
            return _uacme(binary, wanted)


def _certbot(binary: Path, wanted: Wanted) -> Commands:
    folder = wanted.folder
    issue = (
        *(str(binary), "certonly", "--standalone", "--non-interactive", "--agree-tos"),
        *("--register-unsafely-without-email", "--server", wanted.directory_url, "--cert-name", "test"),
        *("--http-01-address", wanted.http_address, "--http-01-port", str(wanted.http_port), "--force-renewal"),
        *("--config-dir", f"{folder}/config", "--work-dir", f"{folder}/work", "--logs-dir", f"{folder}/logs"),
        *(part for name in wanted.names for part in ("-d", name)),
    )
    return Commands(issue, folder / "config/live/test/fullchain.pem", env={"REQUESTS_CA_BUNDLE": str(wanted.ca_bundle)})


def _lego(binary: Path, wanted: Wanted) -> Commands:
    issue = (
        *(str(binary), "--server", wanted.directory_url, "--accept-tos", "--email", "lego@example.test"),
        *("--path", str(wanted.folder), "--http", "--http.port", f"{wanted.http_address}:{wanted.http_port}"),
        *(part for name in wanted.names for part in ("--domains", name)),
        "run",
    )
    stem = wanted.names[0].replace("*", "_")
    return Commands(
        issue, wanted.folder / f"certificates/{stem}.crt", env={"LEGO_CA_CERTIFICATES": str(wanted.ca_bundle)}
    )


def _dehydrated(binary: Path, wanted: Wanted) -> Commands:
    folder, webroot = wanted.folder, wanted.folder / "webroot"
    webroot.mkdir(exist_ok=True)
    configuration = folder / "config"
    configuration.write_text(
        f"""CA="{wanted.directory_url}"\nBASEDIR="{folder}"\nWELLKNOWN="{webroot}"
CURL_OPTS="--cacert {wanted.ca_bundle}"\nKEY_ALGO=prime256v1\nLOCKFILE="{folder}/lock"\n"""
    )
    common = (str(binary), "--config", str(configuration))
    issue = (*common, "--cron", "--force", "--alias", "test", "--domain", " ".join(wanted.names))
    return Commands(
        issue, folder / "certs/test/fullchain.pem", account=(*common, "--register", "--accept-terms"), webroot=webroot
    )


def _uacme(binary: Path, wanted: Wanted) -> Commands:
    folder, webroot = wanted.folder, wanted.folder / "webroot"
    webroot.mkdir(exist_ok=True)
    mounted = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    common = (
        *("unshare", "--mount", "sh", "-c", mounted, "sh", str(wanted.ca_bundle), str(SYSTEM_BUNDLE)),
        *(str(binary), "--confdir", str(folder / "uacme"), "--acme-url", wanted.directory_url, "--yes", "--type", "EC"),
    )
    account = None if (folder / "uacme/private/key.pem").exists() else (*common, "new")
    issue = (*common, "--force", "--hook", "/usr/share/uacme/uacme.sh", "issue", *wanted.names)
    return Commands(
        issue,
        folder / f"uacme/{wanted.names[0]}/cert.pem",
        account=account,
        env={"UACME_CHALLENGE_PATH": str(webroot)},
        webroot=webroot,
    )


def _may_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, timeout=10, check=False).returncode == 0


@asynccontextmanager
async def served(webroot: Path | None, wanted: Wanted) -> AsyncIterator[None]:
    """Answer http-01 from the files in *webroot* at the wanted port while the block runs; None: the client does so."""
    if webroot is None:
        yield
        return
    application = web.Application()
    application.router.add_static("/.well-known/acme-challenge", webroot)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, wanted.http_address, wanted.http_port).start()
        yield
    finally:
        await runner.cleanup()


async def _run(argv: tuple[str, ...], env: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | dict(env),
    )
    try:
        printed, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ClientFailed(f"{argv[0]} ended with {process.returncode}:\n{printed.decode(errors='replace')[-4000:]}")
