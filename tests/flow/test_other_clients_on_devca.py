"""devca is an ACME server and not an echo of certd: clients that others wrote obtain certificates from it."""

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509

from certd.devca import Options
from tests.flow.conftest import StartBind
from tests.hellca.faults import problem
from tests.hellca.hell import HellCa
from tests.servers.bind import BindOptions
from tests.servers.clients import Client, Wanted, client_program, obtain
from tests.servers.process import LOOPBACK, free_ports
from tests.servers.requirement import require

NAMES = ("a.example.test", "b.localhost")
SIGNED = ("new-account", "new-order", "authorization", "challenge", "finalize", "certificate")
pytestmark = pytest.mark.timeout(180)


def _names(chain: str) -> set[str]:
    leaf, issuer, *_ = x509.load_pem_x509_certificates(chain.encode())
    leaf.verify_directly_issued_by(issuer)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


@pytest.mark.parametrize("client", Client)
async def test_an_unfriendly_devca_issues_to_other_clients(client: Client, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    # Debian's uacme stops at challenges without a token, of which dns-persist-01 is one.
    chaff = client is not Client.UACME
    async with HellCa.start(Options(http_port=port, bad_nonce=0, chaff=chaff)) as hell:
        # Debian's dehydrated takes no badNonce for a reason to try again (RFC 8555 §6.5 says it is one). Certbot does
        # so once a request: where chance refused nonces, it would fail now and then.
        refused = () if client is Client.DEHYDRATED else SIGNED
        for route in refused:
            hell.fault(route, problem("badNonce"))
        wanted = Wanted(hell.directory_url, hell.ca.root_path, NAMES, port, tmp_path / client.value)
        assert _names(await obtain(client, wanted)) == set(NAMES)
        assert len(hell.certificates) == 1
        assert Counter(each.route for each in hell.requests if each.answered == 201)["new-order"] == 1
        assert {each.route for each in hell.requests if each.answered == 400} == set(refused)


async def test_lego_proves_names_by_tls_alpn(tmp_path: Path) -> None:
    """Another hand's validation certificate passes the letter-by-letter look at it."""
    (port,) = free_ports(1)
    async with HellCa.start(Options(tls_port=port)) as hell:
        proofs = ("--tls", "--tls.port", f"{LOOPBACK}:{port}")
        assert await _by_lego(hell, tmp_path, *proofs, names=NAMES) == set(NAMES)
        assert {each.type for each in hell.ca.validations} == {"tls-alpn-01"}


async def test_lego_proves_a_wildcard_by_dns_updates_to_bind(start_bind: StartBind, tmp_path: Path) -> None:
    """devca asks a real name server, and several sources see what another hand published there."""
    names = ("*.example.test", "example.test")
    bind = await start_bind(BindOptions(zones=("example.test",)))
    async with HellCa.start(Options(resolver=(bind.address, bind.port))) as hell:
        proofs = ("--dns", "rfc2136", "--dns.disable-cp", "--dns.resolvers", bind.server)
        env = {
            "RFC2136_NAMESERVER": bind.server,
            "RFC2136_TSIG_KEY": f"{bind.key.name}.",
            "RFC2136_TSIG_ALGORITHM": f"{bind.key.algorithm}.",
            "RFC2136_TSIG_SECRET": bind.key.secret,
            "RFC2136_SEQUENCE_INTERVAL": "1",  # seconds between two names, a minute if nothing is said
            "RFC2136_POLLING_INTERVAL": "1",
        }
        assert await _by_lego(hell, tmp_path, *proofs, names=names, env=env) == set(names)
        assert {each.source for each in hell.ca.validations} >= set(hell.ca.options.sources)


async def _by_lego(
    hell: HellCa, folder: Path, *proofs: str, names: tuple[str, ...], env: Mapping[str, str] | None = None
) -> set[str]:
    """The names of the certificate that lego gets with these proofs."""
    argv = (
        *(str(require(client_program(Client.LEGO))), "--server", hell.directory_url, "--accept-tos"),
        *("--email", "lego@example.test", "--path", str(folder), *proofs),
        *(part for name in names for part in ("--domains", name)),
        "run",
    )
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"LEGO_CA_CERTIFICATES": str(hell.ca.root_path)} | dict(env or {}),
    )
    try:
        printed, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, printed.decode(errors="replace")
    return _names((folder / "certificates" / f"{names[0].replace('*', '_')}.crt").read_text())
