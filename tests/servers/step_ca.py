"""step-ca, the private CA of many companies: an ACME provisioner over a hierarchy made for each start.

No ARI, no profiles, and its own ways: 500 where others say what is wrong. Names resolve by a challtestsrv (127.0.0.1
for all) unless `dns_server` is given; `http_port` and `tls_port` are where the listener under test is bound. Its log
has a line for each request, with its answer's status.
"""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from cryptography import x509

from tests.servers.certificates import new_intermediate, new_root
from tests.servers.challtestsrv import ChallTestSrv, ChallTestSrvOptions, challtestsrv
from tests.servers.go_tools import built_go_tool, go_tool
from tests.servers.made import Made
from tests.servers.process import LOOPBACK, Program, Running, enter_on_free_ports, free_ports, running
from tests.servers.requirement import require

REQUEST = re.compile(r"^time=.* method=(\S+) .* path=/acme/[^/]+/(\S+) .* status=(\d+) ", re.MULTILINE)
RESOURCES = {
    "directory": "directory",
    "new-nonce": "newNonce",
    "new-account": "newAccount",
    "account": "account",
    "new-order": "newOrder",
    "order": "order",
    "authz": "authorization",
    "challenge": "challenge",
    "certificate": "certificate",
    "revoke-cert": "revokeCert",
    "key-change": "keyChange",
}


@dataclass(frozen=True, slots=True)
class StepCaOptions:
    """Ports None: the challtestsrv answers there, with its `add_…`. Lifetimes in hours.

    `dns_server`: ADDR:PORT. `listen_port`: one that the caller holds (`held_port`); None: any.
    """

    http_port: int | None = None
    tls_port: int | None = None
    dns_server: str | None = None
    listen_port: int | None = None
    lifetime: int = 24
    provisioner: str = "acme"


@dataclass(slots=True)
class StepCa:
    """A running one. `ca_bundle`: the root of its API and of what it issues, both."""

    directory_url: str
    ca_bundle: Path
    challtestsrv: ChallTestSrv
    running: Running

    def trust(self) -> SSLContext:
        return create_default_context(cafile=str(self.ca_bundle))

    async def is_revoked(self, serial: int) -> bool:
        """By its revocation list."""
        url = urlsplit(self.directory_url)
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{url.scheme}://{url.netloc}/crl", ssl=self.trust()) as reply,
        ):
            listed = x509.load_der_x509_crl(await reply.read())
        return listed.get_revoked_certificate_by_serial_number(serial) is not None

    def requests(self) -> list[tuple[str, str, int]]:
        """(method, resource, status) in the order of their answers; resources by RFC 8555's names."""
        return [
            (method, "finalize" if path.endswith("/finalize") else RESOURCES[path.partition("/")[0]], int(status))
            for method, path, status in REQUEST.findall(self.running.log.text())
        ]

    def made(self) -> Made:
        answered = Counter((resource, status) for _, resource, status in self.requests())
        return Made(answered["newAccount", 201], answered["newOrder", 201], answered["finalize", 200])


@asynccontextmanager
async def step_ca(folder: Path, options: StepCaOptions | None = None) -> AsyncIterator[StepCa]:
    """Run step-ca with its files in *folder*; skips the test (or fails it) where it is not built."""
    binary, options = require(built_go_tool("step-ca", "step-ca")), options or StepCaOptions()
    async with AsyncExitStack() as stack:
        answering = ChallTestSrvOptions(
            answers_http=options.http_port is None, answers_tls_alpn=options.tls_port is None
        )
        srv = require(go_tool("pebble", "pebble-challtestsrv"))
        resolver = await stack.enter_async_context(challtestsrv(srv, folder, answering))
        _write_hierarchy(folder)
        yield await enter_on_free_ports(stack, lambda: _on_a_free_port(binary, folder, options, resolver))


@asynccontextmanager
async def _on_a_free_port(
    binary: Path, folder: Path, options: StepCaOptions, resolver: ChallTestSrv
) -> AsyncIterator[StepCa]:
    port = options.listen_port or free_ports(1)[0]
    configuration = folder / f"step-ca-{port}.json"
    configuration.write_text(json.dumps(_configuration(folder, port, options)))
    argv = [
        *(str(binary), str(configuration), "--insecure", "--resolver", options.dns_server or resolver.dns_server),
        *("--acme-http-port", str(options.http_port or resolver.http_port)),
        *("--acme-tls-port", str(options.tls_port or resolver.tls_port)),
    ]
    program = Program("step-ca", argv, folder / f"step-ca-{port}.log", {"STEPPATH": str(folder), "HOME": str(folder)})
    api = f"https://{LOOPBACK}:{port}"
    trust = create_default_context(cafile=str(folder / "root.pem"))
    async with running(program, lambda: _healthy(f"{api}/health", trust)) as started:
        yield StepCa(f"{api}/acme/{options.provisioner}/directory", folder / "root.pem", resolver, started)


async def _healthy(url: str, trust: SSLContext) -> bool:
    async with aiohttp.ClientSession() as http, http.get(url, ssl=trust) as reply:
        return reply.status == 200


def _configuration(folder: Path, port: int, options: StepCaOptions) -> dict[str, Any]:
    lifetime = f"{options.lifetime}h0m0s"
    claims = {"defaultTLSCertDuration": lifetime, "maxTLSCertDuration": lifetime}
    return {
        "root": str(folder / "root.pem"),
        "crt": str(folder / "intermediate.pem"),
        "key": str(folder / "intermediate-key.pem"),
        "address": f"{LOOPBACK}:{port}",
        "dnsNames": [LOOPBACK, "localhost"],
        "logger": {"format": "text"},
        "crl": {"enabled": True, "generateOnRevoke": True},
        "db": {"type": "badgerv2", "dataSource": str(folder / f"db-{port}")},
        "authority": {"provisioners": [{"type": "ACME", "name": options.provisioner, "claims": claims}]},
    }


def _write_hierarchy(folder: Path) -> None:
    """root.pem, intermediate.pem and intermediate-key.pem."""
    root = new_root("step-ca test root")
    root.write(folder, "root")
    new_intermediate("step-ca test intermediate", root).write(folder, "intermediate")
