"""From account to certificate."""

import ssl

from cryptography import x509

from certd.devca import DevCa, Options
from tests.unit.devca.conftest import Connect
from tests.unit.devca.flow import issue
from tests.unit.devca.responders import HttpResponder


async def test_an_http_01_certificate_chains_to_the_one_root_that_the_api_has_too(
    calm: DevCa, connect: Connect, web80: HttpResponder
) -> None:
    client = connect(calm)
    order, chain = await issue(client, web80, "a.test", "b.localhost", "127.0.0.1")
    assert order["status"] == "valid"
    leaf, *middle = x509.load_pem_x509_certificates(chain.body)
    root = x509.load_pem_x509_certificate(calm.root_pem.encode())
    leaf.verify_directly_issued_by(middle[0])
    middle[-1].verify_directly_issued_by(root)
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(san.get_values_for_type(x509.DNSName)) == {"a.test", "b.localhost"}
    assert list(map(str, san.get_values_for_type(x509.IPAddress))) == ["127.0.0.1"]
    assert calm.root_path.read_text() == calm.root_pem


async def test_the_default_devca_is_unfriendly_and_still_gives_certificates(
    connect: Connect, web80: HttpResponder
) -> None:
    async with DevCa.start(Options(http_port=web80.port, bad_nonce=0.5)) as ca:
        client = connect(ca)
        for _ in range(3):
            _, chain = await issue(client, web80, "a.test", "b.test")
            assert chain.headers["Content-Type"] == "application/pem-certificate-chain"
            assert ssl.PEM_cert_to_DER_cert(
                chain.body.decode().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
            )
