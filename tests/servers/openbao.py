"""OpenBao's ACME server (MPL-2.0, from PyPI in an environment of its own): an issuer of another parentage than Boulder.

No ARI and no profiles. It fetches http-01 from port 80 and tls-alpn-01 from port 443 of whatever address its resolver
answers, which is a challtestsrv that gives every name `challenge_address`, unless `dns_server` is given: the listener
under test binds that, as root. Its audit log has a line for each request and one for each answer.
"""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any

import aiohttp

from tests.servers.challtestsrv import ChallTestSrv, ChallTestSrvOptions, challtestsrv
from tests.servers.go_tools import ROOT, go_tool
from tests.servers.made import Made
from tests.servers.process import LOOPBACK, Program, Running, enter_on_free_ports, free_ports, running
from tests.servers.requirement import Missing, require

TOKEN = "root-of-a-server-that-lives-for-one-test"
ACME = "pki/acme/"
RESOURCES = {
    "directory": "directory",
    "new-nonce": "newNonce",
    "new-account": "newAccount",
    "account": "account",
    "new-order": "newOrder",
    "order": "order",
    "authorization": "authorization",
    "challenge": "challenge",
    "revoke-cert": "revokeCert",
    "key-change": "keyChange",
}
LAST_PARTS = {"finalize": "finalize", "cert": "certificate"}  # of …/acme/order/ID/…
ACME_HEADERS = ["Last-Modified", "Location", "Replay-Nonce", "Link"]  # not passed through unless allowed


@dataclass(frozen=True, slots=True)
class OpenBaoOptions:
    """`challenge_address`: what every name resolves to, 127.x.y.z. `dns_server`: ADDR:PORT, asked instead."""

    challenge_address: str = LOOPBACK
    dns_server: str | None = None
    eab_required: bool = False


@dataclass(frozen=True, slots=True)
class EabCredentials:
    """`key` in base64url."""

    kid: str
    key: str = field(repr=False)


@dataclass(slots=True)
class OpenBao:
    """A running one. `ca_bundle` is the root of its API, `root` (PEM) the one that it issues under."""

    directory_url: str
    ca_bundle: Path
    root: str
    challtestsrv: ChallTestSrv
    running: Running
    audit_log: Path
    _api: "_Api"
    _options: OpenBaoOptions
    _answers_before: int = 0

    def trust(self) -> SSLContext:
        return create_default_context(cafile=str(self.ca_bundle))

    async def new_eab(self) -> EabCredentials:
        made = await self._api.call("POST", "pki/acme/new-eab")
        return EabCredentials(made["id"], made["key"])

    async def is_revoked(self, serial: int) -> bool:
        digits = f"{serial:x}"
        pairs = digits.zfill(len(digits) + len(digits) % 2)
        found = await self._api.call("GET", "pki/cert/" + ":".join(pairs[i : i + 2] for i in range(0, len(pairs), 2)))
        return bool(found["revocation_time"])

    async def wipe(self) -> None:
        """Forget all accounts, orders and certificates, and begin again with another root."""
        await self._api.call("DELETE", "sys/mounts/pki")
        self._answers_before += len(self.requests())
        self.root = await _configure(self._api, self._options, self._options.dns_server or self.challtestsrv.dns_server)

    def requests(self) -> list[tuple[str, int]]:
        """(resource, status of the answer), oldest first, since it knows nothing; resources by RFC 8555's names."""
        found = []
        for line in self.audit_log.read_text().splitlines():
            entry = json.loads(line)
            path = entry["request"].get("path", "")
            if entry["type"] == "response" and path.startswith(ACME):
                parts = path.removeprefix(ACME).split("/")
                status = (entry.get("response") or {}).get("data", {}).get("http_status_code", 0)
                found.append((LAST_PARTS.get(parts[-1]) or RESOURCES.get(parts[0], parts[0]), int(status)))
        return found[self._answers_before :]

    def made(self) -> Made:
        answered = Counter(self.requests())
        return Made(answered["newAccount", 201], answered["newOrder", 201], answered["finalize", 200])


@dataclass(frozen=True, slots=True)
class _Api:
    url: str
    ca_bundle: Path

    async def call(self, method: str, endpoint: str, /, **body: object) -> dict[str, Any]:
        """The `data` of the answer, empty if there is none."""
        trust = create_default_context(cafile=str(self.ca_bundle))
        async with (
            aiohttp.ClientSession(headers={"X-Vault-Token": TOKEN}) as http,
            http.request(method, f"{self.url}/v1/{endpoint}", json=body or None, ssl=trust) as reply,
        ):
            text = await reply.text()
            assert reply.ok, f"openbao {method} {endpoint}: {reply.status} {text}"
            answer = await reply.json() if text else {}
            found: dict[str, Any] = answer.get("data") or {}
            return found

    async def healthy(self) -> bool:
        if not self.ca_bundle.exists():
            return False
        trust = create_default_context(cafile=str(self.ca_bundle))
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/v1/sys/health", ssl=trust) as reply:
            return reply.status == 200


def openbao_program() -> Path | Missing:
    found = ROOT / ".venv-openbao" / "bin" / "bao"
    return found if found.exists() else Missing("OpenBao is not installed: make servers")


@asynccontextmanager
async def openbao(folder: Path, options: OpenBaoOptions | None = None) -> AsyncIterator[OpenBao]:
    """Run OpenBao in memory, log and API certificate in *folder*; skips (or fails) the test where it is missing."""
    binary, options = require(openbao_program()), options or OpenBaoOptions()
    async with AsyncExitStack() as stack:
        answering = ChallTestSrvOptions(default_ipv4=options.challenge_address)
        resolver = await stack.enter_async_context(
            challtestsrv(require(go_tool("pebble", "pebble-challtestsrv")), folder, answering)
        )
        yield await enter_on_free_ports(stack, lambda: _on_free_ports(binary, folder, options, resolver))


@asynccontextmanager
async def _on_free_ports(
    binary: Path, folder: Path, options: OpenBaoOptions, resolver: ChallTestSrv
) -> AsyncIterator[OpenBao]:
    (port,) = free_ports(1)
    certificates = folder / f"openbao-{port}"
    certificates.mkdir()
    api = _Api(f"https://{LOOPBACK}:{port}", certificates / "vault-ca.pem")
    audit_log, configuration = folder / f"openbao-{port}-audit.json", folder / f"openbao-{port}-config.json"
    audit = {"type": "file", "path": "file", "options": {"file_path": str(audit_log), "log_raw": "true"}}
    configuration.write_text(json.dumps({"audit": [audit]}))
    argv = [
        *(str(binary), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={TOKEN}"),
        *("-dev-tls", f"-dev-tls-cert-dir={certificates}", f"-dev-listen-address={LOOPBACK}:{port}"),
        f"-config={configuration}",
    ]
    program = Program("openbao", argv, folder / f"openbao-{port}.log", {"HOME": os.fspath(folder), "GOMAXPROCS": "2"})
    async with running(program, api.healthy) as started:
        root = await _configure(api, options, options.dns_server or resolver.dns_server)
        url = f"{api.url}/v1/pki/acme/directory"
        yield OpenBao(url, api.ca_bundle, root, resolver, started, audit_log, api, options)


async def _configure(api: _Api, options: OpenBaoOptions, dns_server: str) -> str:
    """Mount the PKI engine as an ACME CA for any name; its root's PEM."""
    await api.call("POST", "sys/mounts/pki", type="pki")
    await api.call("POST", "sys/mounts/pki/tune", allowed_response_headers=ACME_HEADERS, max_lease_ttl="2160h")
    made = await api.call("POST", "pki/root/generate/internal", common_name="OpenBao test root", ttl="2000h")
    await api.call("POST", "pki/config/cluster", path=f"{api.url}/v1/pki", aia_path=f"{api.url}/v1/pki")
    await api.call(
        "POST",
        "pki/config/acme",
        enabled=True,
        dns_resolver=dns_server,
        default_directory_policy="sign-verbatim",
        eab_policy="always-required" if options.eab_required else "not-required",
    )
    root: str = made["certificate"]
    return root
