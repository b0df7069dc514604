"""The servers of this suite issue to clients that others wrote: what certd fails at here is certd's own."""

from pathlib import Path

import pytest
from cryptography import x509

from tests.flow.conftest import StartOpenBao, StartPebble, StartStepCa
from tests.servers.clients import Client, Wanted, obtain
from tests.servers.openbao import OpenBaoOptions
from tests.servers.pebble import Flavour, PebbleOptions
from tests.servers.process import free_ports
from tests.servers.requirement import require, root
from tests.servers.step_ca import StepCaOptions

NAMES = ("a.example.test", "b.example.test")
pytestmark = pytest.mark.timeout(180)


def _names(chain: str) -> set[str]:
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    return set(
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    )


@pytest.mark.parametrize(
    ("client", "flavour"),
    [
        (Client.CERTBOT, Flavour.CURRENT),
        (Client.LEGO, Flavour.CURRENT),
        (Client.DEHYDRATED, Flavour.CURRENT),
        (Client.UACME, Flavour.DEBIAN),  # Debian's stops at challenges without a token, which the current one offers
    ],
)
async def test_pebble_issues_to_other_clients(
    client: Client, flavour: Flavour, start_pebble: StartPebble, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    ca = await start_pebble(PebbleOptions(flavour=flavour, http_port=port, nonce_reject=0))
    chain = await obtain(client, Wanted(ca.directory_url, ca.ca_bundle, NAMES, port, tmp_path / client.value))
    assert _names(chain) == set(NAMES)
    assert ca.request_table()["newOrder"] == 1


async def test_openbao_issues_to_certbot_at_port_80_of_an_address_of_its_own(
    start_openbao: StartOpenBao, loopback_address: str, tmp_path: Path
) -> None:
    require(root())
    ca = await start_openbao(OpenBaoOptions(challenge_address=loopback_address))
    wanted = Wanted(ca.directory_url, ca.ca_bundle, NAMES, 80, tmp_path / "certbot", loopback_address)
    assert _names(await obtain(Client.CERTBOT, wanted)) == set(NAMES)


async def test_step_ca_issues_to_certbot(start_step_ca: StartStepCa, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    ca = await start_step_ca(StepCaOptions(http_port=port))
    wanted = Wanted(ca.directory_url, ca.ca_bundle, NAMES, port, tmp_path / "certbot")
    assert _names(await obtain(Client.CERTBOT, wanted)) == set(NAMES)
