"""Each way to prove names, at every CA."""

import shutil
import socket
from pathlib import Path

from tests.flow.everywhere.authorities import ZONE, Feature
from tests.flow.everywhere.backstage import Backstage
from tests.flow.everywhere.certificates import has_key, leaf_of, names_of
from tests.flow.everywhere.customer import Customer
from tests.flow.everywhere.scenario import each_server, scenario
from tests.flow.everywhere.web import web_server
from tests.servers.made import Made

ONE_OF_EACH = Made(accounts=1, orders=1, certificates=1)


@scenario()
def test_a_name_is_proven_by_http_01(customer: Customer) -> None:
    """One account, one order, one certificate, counted by the CA; key, chain and files fit."""
    before, name = customer.authority.made(), customer.name()
    ran = customer.issue("-d", name)
    assert ran.status == 0, ran.err
    assert "http-01" in ran.err
    leaf = leaf_of(customer, name)
    assert names_of(leaf) == {name}
    assert has_key(leaf, customer.live(name, "privkey"))
    assert customer.authority.made() - before == ONE_OF_EACH


@scenario()
def test_a_process_of_its_own_answers_on_a_passed_socket(customer: Customer) -> None:
    """As systemd starts it: what was typed reaches the CA through a real process, its socket and its exit status."""
    authority, name = customer.authority, customer.name()
    with socket.socket() as passed:
        passed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        passed.bind((authority.place.address, authority.place.http_port))
        listen = ("--http-address", f"fd:{passed.fileno()}")
        command = ("issue", *customer.as_new(), *listen, "-d", name, "--json")
        ran = customer.process(*command, pass_fds=[passed.fileno()])
        assert ran.status == 0, ran.out + ran.err
        assert ran.json["status"] == "issued"
        asked = authority.requests()
        assert customer.process(*command, pass_fds=[passed.fileno()]).json["status"] == "up-to-date"
        assert authority.requests() == asked
    assert ran.json["files"]["fullchain"] == str(customer.live(name))
    assert names_of(leaf_of(customer, name)) == {name}


@scenario(Feature.ADDRESSES)
def test_names_and_addresses_share_one_order(customer: Customer) -> None:
    """RFC 8738: where the CA comes to IPv6 as well, one listener on every address answers for all of them."""
    before = customer.authority.made()
    place = customer.authority.place
    names = [customer.name(each) for each in ("www", "mail", "a.b")]
    names.append(place.address)
    proofs = customer.by_http()
    if Feature.IPV6 in customer.authority.kind.features:
        names.append("::1")
        proofs = ("--http-address", f":{place.http_port}")
    ran = customer.issue(*(part for name in names for part in ("-d", name)), "--name", "many", proofs=proofs)
    assert ran.status == 0, ran.err
    assert names_of(leaf_of(customer, "many")) == set(names)
    assert customer.authority.made() - before == ONE_OF_EACH


@scenario()
def test_a_name_is_proven_by_tls_alpn_01(customer: Customer) -> None:
    name = customer.name()
    ran = customer.issue(
        *("--challenge", "tls-alpn-01", "--tls-address", customer.authority.tls_address), "-d", name, proofs=()
    )
    assert ran.status == 0, ran.err
    assert "tls-alpn-01" in ran.err
    assert names_of(leaf_of(customer, name)) == {name}


@scenario(Feature.TLS_ALPN_FOR_ADDRESSES)
def test_an_address_is_proven_by_tls_alpn_01(customer: Customer) -> None:
    """RFC 8738 §6: asked for by its reverse name, answered with an iPAddress."""
    address = customer.authority.place.address
    ran = customer.issue(
        *("--challenge", "tls-alpn-01", "--tls-address", customer.authority.tls_address), "-d", address, proofs=()
    )
    assert ran.status == 0, ran.err
    assert names_of(leaf_of(customer, address)) == {address}


@scenario()
def test_a_wildcard_and_its_apex_are_proven_by_updates_to_bind(customer: Customer, behind: Backstage) -> None:
    """Two values beside each other at one name (R44), and gone after it; what somebody else put there stays."""
    apex, dns = customer.name("apex"), customer.authority.dns
    record = f"_acme-challenge.{apex}"
    behind.run(dns.add(record, "TXT", '"somebody else\'s"'))
    ran = customer.issue("-d", f"*.{apex}", "-d", apex, proofs=customer.by_dns())
    assert ran.status == 0, ran.err
    assert "dns-01" in ran.err
    assert names_of(leaf_of(customer, f"*.{apex}")) == {f"*.{apex}", apex}
    assert behind.run(dns.txt(record)) == {"somebody else's"}
    assert {name for name, kind, _ in behind.run(dns.contents(ZONE)) if kind == "TXT"} == {record}
    behind.run(dns.delete(record, "TXT"))


@each_server()
def test_a_proof_is_put_where_an_alias_leads(customer: Customer, behind: Backstage) -> None:
    """RFC 8555 §8.4 looks for TXT as DNS does: a CNAME delegates the proof to a name that certd may change."""
    name, dns = customer.name(), customer.authority.dns
    alias, target = f"_acme-challenge.{name}", f"proofs.{customer.stem}.{ZONE}"
    behind.run(dns.add(alias, "CNAME", f"{target}."))
    ran = customer.issue("-d", name, proofs=customer.by_dns())
    assert ran.status == 0, ran.err
    assert names_of(leaf_of(customer, name)) == {name}
    left = {(record, kind) for record, kind, _ in behind.run(dns.contents(ZONE)) if customer.stem in record}
    assert left == {(alias, "CNAME")}


@each_server()
def test_a_record_that_never_shows_is_not_told_to_the_ca(customer: Customer) -> None:
    """R42: answering would spend one of the few failures that it allows; the next run, with a better way, succeeds."""
    name, nothing = customer.name(), shutil.which("true")
    proofs = ("--dns", "exec", "--dns-option", f"program={nothing}", "--propagation-timeout", "1s", *customer.asking())
    asked = customer.authority.requests()
    ran = customer.issue("-d", name, proofs=proofs)
    assert ran.status in {1, 75}, ran.err
    assert f"_acme-challenge.{name}" in ran.err
    assert customer.authority.requests()["challenge"] == asked["challenge"]
    ran = customer.issue("-d", name, proofs=customer.by_dns())
    assert ran.status == 0, ran.err


@each_server()
def test_a_name_in_its_own_script(customer: Customer) -> None:
    """IDN: typed as people write it, ordered, proven and kept as an A-label."""
    typed, asked_for = customer.name("bücher"), customer.name("xn--bcher-kva")
    ran = customer.issue("-d", typed)
    assert ran.status == 0, ran.err
    assert names_of(leaf_of(customer, asked_for)) == {asked_for}
    assert customer.issue("-d", asked_for).out.startswith("up to date")


@each_server(Feature.ADDRESSES, but=(Feature.TLS_ALPN_FOR_ADDRESSES,))
def test_a_challenge_that_the_ca_does_not_offer(customer: Customer) -> None:
    """What it offers is told, and the next run takes that."""
    address = customer.authority.place.address
    tls = ("--challenge", "tls-alpn-01", "--tls-address", customer.authority.tls_address)
    ran = customer.issue("-d", address, proofs=tls)
    assert ran.status == 2, ran.err
    assert "the CA offers http-01, but only tls-alpn-01 can be answered here" in ran.err
    ran = customer.issue("-d", address)
    assert ran.status == 0, ran.err


@scenario()
def test_a_webroot_answers_where_another_server_has_the_port(
    customer: Customer, behind: Backstage, tmp_path: Path
) -> None:
    """The file is there for the CA, and a minute longer (invariant 5): a run after that takes it away."""
    webroot, name = tmp_path / "webroot", customer.name()
    webroot.mkdir()
    with behind.open(web_server(webroot, customer.authority.http_address)) as asked:
        ran = customer.issue("-d", name, proofs=("--webroot", str(webroot)))
    assert ran.status == 0, ran.err
    assert names_of(leaf_of(customer, name)) == {name}
    assert asked
    assert {path.parent for path in map(Path, asked)} == {Path("/.well-known/acme-challenge")}
    assert {path.parent for path in webroot.rglob("*") if path.is_file()} == {webroot / ".well-known/acme-challenge"}
