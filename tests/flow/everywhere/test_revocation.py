"""Revoked by the account or by the certificate's own key, and replaced by the next run."""

from pathlib import Path
from shutil import copy

from tests.flow.everywhere.authorities import Feature
from tests.flow.everywhere.certificates import leaf_of
from tests.flow.everywhere.customer import Customer
from tests.flow.everywhere.scenario import each_server, scenario


@scenario()
def test_revoked_by_the_account_and_replaced_by_the_next_run(customer: Customer) -> None:
    """R39: the CA says so itself; a second time is no failure; what is revoked is no reason to wait."""
    name = customer.name()
    assert customer.issue("-d", name).status == 0
    first = leaf_of(customer, name)
    ran = customer.certd("revoke", name)
    assert ran.status == 0, ran.err
    assert "by the account" in ran.out
    assert customer.authority.is_revoked(first.serial_number)
    ran = customer.certd("revoke", name)
    assert ran.status == 0, ran.err
    assert "it had been revoked before" in ran.out
    ran = customer.issue("-d", name)
    assert ran.status == 0, ran.err
    assert f"{name}: revoked on " in ran.err
    second = leaf_of(customer, name)
    assert second.serial_number != first.serial_number
    assert not customer.authority.is_revoked(second.serial_number)
    assert customer.issue("-d", name).out.startswith("up to date")


@each_server(Feature.REASONS)
def test_a_compromised_key_revokes_its_own_certificate(customer: Customer) -> None:
    """CA/B Forum BR 4.9.1.1: signed by itself, the key is refused from then on; the next run makes another."""
    name = customer.name()
    assert customer.issue("-d", name).status == 0
    first = leaf_of(customer, name)
    ran = customer.certd("revoke", name, "--reason", "key-compromise")
    assert ran.status == 0, ran.err
    assert "by the certificate key" in ran.out
    assert customer.authority.is_revoked(first.serial_number)
    ran = customer.issue("-d", name, "--reuse-key")
    assert ran.status == 0, ran.err
    assert leaf_of(customer, name).public_key() != first.public_key()


@each_server()
def test_a_certificate_from_elsewhere_is_revoked_by_file_and_key(customer: Customer, tmp_path: Path) -> None:
    """With nothing but the two files: no account, no ledger that knows it."""
    name = customer.name()
    assert customer.issue("-d", name).status == 0
    leaf = leaf_of(customer, name)
    chain, key = (Path(copy(customer.live(name, file), tmp_path)) for file in ("fullchain", "privkey"))
    elsewhere = Customer(customer.authority, tmp_path / "elsewhere", customer.capsys)
    elsewhere.folder.mkdir()
    ran = elsewhere.certd("revoke", str(chain), "--key", str(key))
    assert ran.status == 0, ran.err
    assert customer.authority.is_revoked(leaf.serial_number)
