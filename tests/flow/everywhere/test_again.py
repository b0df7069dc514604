"""The same command again, with nothing due, with something changed, at another CA, and at one that has forgotten us."""

from urllib.parse import urlsplit

from tests.flow.everywhere.authorities import Authority, Feature
from tests.flow.everywhere.certificates import key_type_of, leaf_of, names_of
from tests.flow.everywhere.command import Ran, run_here
from tests.flow.everywhere.customer import Customer
from tests.flow.everywhere.scenario import each_server, one_of_its_own, scenario
from tests.servers.made import Made


@scenario()
def test_a_second_run_contacts_no_endpoint_of_the_ca(customer: Customer) -> None:
    """So that it may stand in a timer: no request at all, not even for the directory, and exit 0."""
    name = customer.name()
    assert customer.issue("-d", name).status == 0
    asked, leaf = customer.authority.requests(), leaf_of(customer, name)
    ran = customer.issue("-d", name)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"up to date   {name}   expires in ")
    assert customer.authority.requests() == asked
    assert leaf_of(customer, name) == leaf


@scenario()
def test_force_renews_with_the_same_account_and_another_key(customer: Customer) -> None:
    before, name = customer.authority.made(), customer.name()
    assert customer.issue("-d", name).status == 0
    first, files = leaf_of(customer, name), customer.live(name).resolve()
    ran = customer.issue("-d", name, "--force", "--json")
    assert ran.status == 0, ran.out + ran.err
    assert ran.json["finding"] == "asked for by --force"
    second = leaf_of(customer, name)
    assert second.serial_number != first.serial_number
    assert second.public_key() != first.public_key()
    assert customer.authority.made() - before == Made(accounts=1, orders=2, certificates=2)
    assert files.exists(), "the generation before stays"


@scenario(Feature.ARI)
def test_an_order_that_renews_says_what_it_replaces(customer: Customer) -> None:
    """RFC 9773 §5: each order says the certificate before; one that the CA cannot find is renewed all the same."""
    before, name, leaves = customer.authority.replaced(), customer.name(), []
    for _ in range(3):
        ran = customer.issue("-d", name, "--force")
        assert ran.status == 0, ran.err
        leaves.append(leaf_of(customer, name))
    found = [leaf for leaf in leaves[:2] if customer.authority.kind.finds(leaf.serial_number)]
    assert customer.authority.replaced() - before == len(found)


@each_server()
def test_a_kept_key(customer: Customer) -> None:
    name = customer.name()
    assert customer.issue("-d", name).status == 0
    first = leaf_of(customer, name)
    assert customer.issue("-d", name, "--reuse-key", "--force").status == 0
    second = leaf_of(customer, name)
    assert second.serial_number != first.serial_number
    assert second.public_key() == first.public_key()


@scenario()
def test_changed_names_and_a_changed_key_type_are_noticed_and_said(customer: Customer) -> None:
    one, two = customer.name("one"), customer.name("two")
    assert customer.issue("-d", one, "--name", "shop").status == 0
    ran = customer.issue("-d", one, "-d", two, "--name", "shop")
    assert ran.status == 0, ran.err
    assert f"names changed: +{two}" in ran.out + ran.err
    assert names_of(leaf_of(customer, "shop")) == {one, two}
    ran = customer.issue("-d", two, "--name", "shop", "--key-type", "ec384")
    assert ran.status == 0, ran.err
    assert f"names changed: -{one}" in ran.out + ran.err
    assert key_type_of(leaf_of(customer, "shop")) == "ec384"
    ran = customer.issue("-d", two, "--name", "shop")
    assert "key type changed: EC P-384 → EC P-256" in ran.out + ran.err
    assert key_type_of(leaf_of(customer, "shop")) == "ec256"


@each_server()
def test_a_dry_run_orders_nothing_and_changes_nothing(customer: Customer) -> None:
    before, name = customer.authority.made(), customer.name()
    ran = customer.issue("-d", name, "--dry-run")
    assert ran.status == 0, ran.err
    assert "nothing was ordered or changed" in ran.out
    assert customer.authority.made() == before
    assert not customer.state.exists()


@one_of_its_own()
def test_a_ca_that_has_forgotten_everything(own_customer: Customer) -> None:
    """R26: staging CAs are wiped at times. The account is looked up by its key, and registered once more."""
    name, other = own_customer.name(), own_customer.name("other")
    assert own_customer.issue("-d", name).status == 0
    own_customer.authority.wipe()
    assert own_customer.authority.made() == Made()
    ran = own_customer.issue("-d", other)
    assert ran.status == 0, ran.err
    assert "looking the account up by its key" in ran.err
    leaf_of(own_customer, other)
    ran = own_customer.issue("-d", name, "--force")
    assert ran.status == 0, ran.err
    assert own_customer.authority.made() == Made(accounts=1, orders=2, certificates=2)
    assert len(own_customer.rows("SELECT * FROM accounts")) == 1


@each_server()
def test_from_staging_to_production_is_one_changed_option(customer: Customer, production: Customer) -> None:
    """Another account, another certificate, nothing said of it to the CA before; and the same again is up to date."""
    name = customer.name()
    staging, before = customer.authority, production.authority.made()
    bundle = customer.folder / "both.pem"
    bundle.write_bytes(staging.ca_bundle.read_bytes() + production.authority.ca_bundle.read_bytes())

    def issue_at(server: str) -> Ran:
        options = ("--ca-bundle", str(bundle), "--state-dir", str(customer.state), *customer.as_new(), "--agree-tos")
        return run_here(["issue", *options, *customer.by_http(), "-d", name, "--server", server], customer.capsys)

    assert issue_at(staging.directory_url).status == 0
    asked = staging.requests()
    ran = issue_at(production.authority.directory_url)
    assert ran.status == 0, ran.err
    assert f"issuer changed: {_host(staging)} → {_host(production.authority)}" in ran.err
    assert names_of(leaf_of(production, name)) == {name}
    assert production.authority.made() - before == Made(accounts=1, orders=1, certificates=1)
    assert production.authority.replaced() == 0
    assert staging.requests() == asked
    assert issue_at(production.authority.directory_url).out.startswith("up to date")


def _host(authority: Authority) -> str:
    return urlsplit(authority.directory_url).netloc
