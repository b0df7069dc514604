"""What a certificate shall be like: its key, a request from outside, a profile, a chain; and where it shall go."""

import stat
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.flow.everywhere.authorities import KINDS, Feature
from tests.flow.everywhere.certificates import has_key, key_type_of, leaf_of, names_of
from tests.flow.everywhere.customer import Customer
from tests.flow.everywhere.scenario import at, each_server, scenario
from tests.servers.made import Made
from tests.unit.devca.raw_client import csr_for


def _gets_a_key(customer: Customer, key_type: str) -> None:
    name = customer.name()
    ran = customer.issue("-d", name, "--key-type", key_type)
    assert ran.status == 0, ran.err
    leaf = leaf_of(customer, name)
    assert key_type_of(leaf) == key_type
    assert has_key(leaf, customer.live(name, "privkey"))


@pytest.mark.parametrize("key_type", ["ec384", "ec521", "rsa2048", "rsa3072", "rsa4096"])
@each_server()
def test_a_certificate_has_a_key_of_the_type_asked_for(customer: Customer, key_type: str) -> None:
    _gets_a_key(customer, key_type)


@each_server(key_type="ed25519")
def test_an_ed25519_key_where_the_ca_takes_it(customer: Customer) -> None:
    _gets_a_key(customer, "ed25519")


@at(KINDS["pebble"])
def test_an_ed25519_key_where_the_ca_does_not_take_it(customer: Customer) -> None:
    """What the CA says of it is shown, with a way out; no certificate is made, and another key is taken at once."""
    before, name = customer.authority.made(), customer.name()
    ran = customer.issue("-d", name, "--key-type", "ed25519")
    assert ran.status == 1
    assert "CSR signature algorithm Ed25519 is not supported" in ran.err
    assert "--key-type" in ran.err
    assert not customer.live(name).exists()
    assert customer.issue("-d", name).status == 0
    assert customer.authority.made() - before == Made(accounts=1, orders=2, certificates=1)


@scenario()
def test_a_certificate_for_a_request_from_outside(customer: Customer, tmp_path: Path) -> None:
    """The key stays where it is: certd has none, writes none, and asks for the names that the request has."""
    key, names = ec.generate_private_key(ec.SECP256R1()), {customer.name("a"), customer.name("b")}
    request, own_key = tmp_path / "request.der", tmp_path / "key.pem"
    request.write_bytes(csr_for(key, *sorted(names)))
    own_key.touch(mode=0o600)
    own_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    ran = customer.issue("--csr", str(request), "--name", "outside")
    assert ran.status == 0, ran.err
    leaf = leaf_of(customer, "outside")
    assert names_of(leaf) == names
    assert has_key(leaf, own_key)
    assert sorted(file.name for file in customer.live("outside").parent.iterdir()) == [
        "cert.pem",
        "chain.pem",
        "fullchain.pem",
    ]
    asked = customer.authority.requests()
    assert customer.issue("--csr", str(request), "--name", "outside").out.startswith("up to date")
    assert customer.authority.requests() == asked


@scenario(Feature.PROFILES)
def test_a_profile_that_the_ca_offers(customer: Customer) -> None:
    """It decides the lifetime; a change of it is noticed, and a second run with it is not."""
    name = customer.name()
    assert customer.issue("-d", name, "--profile", "default").status == 0
    assert leaf_of(customer, name).not_valid_after_utc - leaf_of(customer, name).not_valid_before_utc > timedelta(80)
    ran = customer.issue("-d", name, "--profile", "shortlived", "--json")
    assert ran.status == 0, ran.out
    assert ran.json["finding"] == "profile changed: default → shortlived"
    leaf = leaf_of(customer, name)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < timedelta(21)
    asked = customer.authority.requests()
    assert customer.issue("-d", name, "--profile", "shortlived").out.startswith("up to date")
    assert customer.authority.requests() == asked


@each_server()
def test_a_profile_that_the_ca_does_not_offer(customer: Customer) -> None:
    """Draft profiles §4: not asked for where it is not advertised; the ones that are offered are named."""
    before, name = customer.authority.made(), customer.name()
    ran = customer.issue("-d", name, "--profile", "no-such-profile")
    assert ran.status == 2, ran.err
    assert "no-such-profile" in ran.err
    if Feature.PROFILES in customer.authority.kind.features:
        assert "default" in ran.err
    assert customer.authority.made().orders == before.orders


@scenario(Feature.ALTERNATES)
def test_a_chain_is_chosen_by_its_top_issuer(customer: Customer) -> None:
    """RFC 8555 §7.4.2: each root that the CA has a chain to, by its name."""
    roots = [x509.load_pem_x509_certificate(each.encode()) for each in customer.authority.roots()]
    for number, root in enumerate(roots):
        name = customer.name(f"r{number}")
        (wanted,) = root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ran = customer.issue("-d", name, "--preferred-chain", str(wanted.value))
        assert ran.status == 0, ran.err
        leaf_of(customer, name)
        top = x509.load_pem_x509_certificates(customer.live(name).read_bytes())[-1]
        top.verify_directly_issued_by(root)
        assert "no chain" not in ran.err


@each_server()
def test_a_chain_that_the_ca_does_not_have(customer: Customer) -> None:
    """R34: its default is used, and that is said."""
    name = customer.name()
    ran = customer.issue("-d", name, "--preferred-chain", "No Such Root X1")
    assert ran.status == 0, ran.err
    assert "no chain from the CA matches 'No Such Root X1'; its default is used" in ran.err
    leaf_of(customer, name)


@each_server()
def test_copies_for_a_server_and_its_reload(customer: Customer, tmp_path: Path) -> None:
    """Whole and with their mode before the server is told, told once, and told what."""
    out, told, name = tmp_path / "out", tmp_path / "told", customer.name()
    script = "import os, sys; print(os.environ['CERTD_NAMES'], os.environ['CERTD_DIR'], file=open(sys.argv[1], 'a'))"
    wanted = (
        *("-d", name, "--out", str(out), "--out-mode", "0640"),
        *("--reload", f'{sys.executable} -c "{script}" {told}'),
    )
    ran = customer.issue(*wanted)
    assert ran.status == 0, ran.err
    assert str(out / "fullchain.pem") in ran.out
    assert (out / "fullchain.pem").read_bytes() == customer.live(name).read_bytes()
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in out.iterdir()}
    assert modes["privkey.pem"] == modes["bundle.pem"] == 0o640
    assert told.read_text() == f"{name} {out}\n"
    assert customer.issue(*wanted).out.startswith("up to date")
    assert told.read_text() == f"{name} {out}\n"
