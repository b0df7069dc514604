"""devca is an ACME server and not an echo of certd: clients that others wrote obtain certificates from it."""

from collections import Counter
from pathlib import Path

import pytest
from cryptography import x509

from certd.devca import Options
from tests.hellca.hell import HellCa
from tests.servers.clients import Client, Wanted, obtain
from tests.servers.process import free_ports

NAMES = ("a.example.test", "b.localhost")
pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("client", Client)
async def test_an_unfriendly_devca_issues_to_other_clients(client: Client, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    # Debian's dehydrated takes no badNonce for a reason to try again (RFC 8555 §6.5 says it is one).
    bad_nonce = 0.0 if client is Client.DEHYDRATED else 0.05
    # Debian's uacme stops at challenges without a token, of which dns-persist-01 is one.
    chaff = client is not Client.UACME
    async with HellCa.start(Options(http_port=port, bad_nonce=bad_nonce, chaff=chaff)) as hell:
        wanted = Wanted(hell.directory_url, hell.ca.root_path, NAMES, port, tmp_path / client.value)
        chain = await obtain(client, wanted)
        leaf, *middle = x509.load_pem_x509_certificates(chain.encode())
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(names.get_values_for_type(x509.DNSName)) == set(NAMES)
        leaf.verify_directly_issued_by(middle[0])
        assert len(hell.certificates) == 1
        assert Counter(each.route for each in hell.requests if each.answered == 201)["new-order"] == 1
