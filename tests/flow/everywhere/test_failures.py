"""Names that cannot be proven: the CA's own words, nothing left behind anywhere, and no more tries than CAs allow."""

import socket
from pathlib import Path

import pytest

from tests.flow.everywhere.at_the_ca import orders_of, said_of
from tests.flow.everywhere.authorities import KINDS, SILENT_ADDRESS, Feature
from tests.flow.everywhere.backstage import Backstage
from tests.flow.everywhere.certificates import leaf_of
from tests.flow.everywhere.customer import Customer
from tests.flow.everywhere.scenario import at, each_server, one_of_its_own, scenario
from tests.servers.made import Made


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    """Published by nobody: the CA finds its port closed."""
    made = tmp_path / "webroot"
    made.mkdir()
    return made


def _fails_and_leaves_nothing(customer: Customer, webroot: Path, behind: Backstage) -> None:
    before, name = customer.authority.made(), customer.name("dead")
    ran = customer.issue("-d", name, proofs=("--webroot", str(webroot)))
    assert ran.status == 1, ran.err
    (order,) = behind.run(orders_of(customer))
    (said,) = said_of(order)
    (line,) = [line for line in ran.err.splitlines() if line.startswith(f"error: {name}: ")]
    assert f"{said} (urn:ietf:params:acme:error:" in line
    assert "4 of 5 failed validations left for this name this hour" in ran.err
    assert [each for each in webroot.rglob("*") if each.is_file()] == []
    assert not customer.live(name).exists()
    if Feature.ENDS_AUTHORIZATIONS in customer.authority.kind.features:
        assert order["status"] == "invalid"
        assert {each["status"] for each in order["authorizations"]} == {"invalid"}
    assert customer.rows("SELECT state FROM orders") == [("dead",)]
    assert customer.authority.made() - before == Made(accounts=1, orders=1)


@scenario(Feature.SAYS_NO_AT_ONCE, but=(Feature.REFUSES_NONCES,))  # a run cut short costs another try
def test_a_dead_name_fails_with_the_cas_words_and_leaves_nothing(
    customer: Customer, webroot: Path, behind: Backstage
) -> None:
    """R15, R36, R38: its sentence, exit 1, no file, no proof, and nothing pending at the CA."""
    _fails_and_leaves_nothing(customer, webroot, behind)


@pytest.mark.long
@pytest.mark.timeout(180)
@at(KINDS["openbao"])
def test_a_dead_name_is_looked_for_by_a_patient_ca(customer: Customer, webroot: Path, behind: Backstage) -> None:
    """OpenBao looks five times, more and more seldom; certd waits for its last word."""
    _fails_and_leaves_nothing(customer, webroot, behind)


@one_of_its_own(Feature.SAYS_NO_AT_ONCE)
def test_of_many_names_the_failed_one_is_told_and_no_other_stays_pending(
    own_customer: Customer, behind: Backstage
) -> None:
    """R38: what the order leaves over is ended, whatever had become of each name when it failed."""
    good, dead = [own_customer.name(f"n{number}") for number in range(3)], own_customer.dead_name()
    names = [*good[:2], dead, *good[2:]]
    ran = own_customer.issue(*(part for name in names for part in ("-d", name)), "--name", "many")
    assert ran.status == 1, ran.err
    assert f"error: {dead}: " in ran.err
    assert not [name for name in good if f"error: {name}: " in ran.err]
    (order,) = behind.run(orders_of(own_customer))
    statuses = {each["identifier"]["value"]: each["status"] for each in order["authorizations"]}
    if Feature.ENDS_AUTHORIZATIONS in own_customer.authority.kind.features:
        assert statuses.pop(dead) == "invalid"
        assert set(statuses.values()) <= {"valid", "deactivated", "invalid"}
    ran = own_customer.issue(*(part for name in good for part in ("-d", name)), "--name", "many")
    assert ran.status == 0, ran.err


@one_of_its_own(Feature.SAYS_NO_AT_ONCE, Feature.ENDS_AUTHORIZATIONS)
def test_what_is_still_being_validated_when_a_name_fails_is_ended_at_the_ca(
    own_customer: Customer, behind: Backstage
) -> None:
    """R38: no pile of pending authorizations, which CAs limit; here because a server takes its time to answer.

    A CA for this test alone: Pebble locks up when the validation of a deactivated authorization comes to its end.
    """
    dead, silent = own_customer.dead_name(), own_customer.silent_name()
    with socket.create_server((SILENT_ADDRESS, own_customer.authority.place.http_port)):
        ran = own_customer.issue("-d", dead, "-d", silent)
        (order,) = behind.run(orders_of(own_customer))
    assert ran.status == 1, ran.err
    assert f"error: {dead}: " in ran.err
    statuses = {each["identifier"]["value"]: each["status"] for each in order["authorizations"]}
    assert statuses == {dead: "invalid", silent: "deactivated"}


@each_server(Feature.SAYS_NO_AT_ONCE)
def test_the_sixth_try_within_an_hour_is_not_sent(customer: Customer, webroot: Path) -> None:
    """CAs allow five failed validations of a name in an hour: we count, say when, and hold up no other name."""
    dead, name, proofs = customer.name("dead"), customer.name(), ("--webroot", str(webroot))
    left = [customer.issue("-d", dead, proofs=proofs) for _ in range(5)]
    assert [ran.status for ran in left] == [1] * 5
    assert [f"{4 - number} of 5 failed validations left" in ran.err for number, ran in enumerate(left)] == [True] * 5
    asked = customer.authority.requests()
    ran = customer.issue("-d", dead, "--json", proofs=proofs)
    assert (ran.status, ran.json["exit_status"]) == (75, 75)
    assert ran.json["retry_at"]
    ran = customer.issue("-d", f"*.{dead}", "-d", dead, proofs=customer.by_dns())
    assert ran.status == 75, "another way to prove it is no way around the CA's limit"
    assert customer.authority.requests() == asked
    assert customer.issue("-d", name).status == 0
    leaf_of(customer, name)


@each_server(Feature.REFUSES_NAMES)
def test_a_name_that_the_ca_refuses_is_the_one_that_is_told(customer: Customer) -> None:
    """R16: at newOrder, before anything is proven; it counts as no failed validation."""
    before, good, bad = customer.authority.made(), customer.name(), customer.authority.kind.refused_name
    ran = customer.issue("-d", good, "-d", bad)
    assert ran.status == 2, ran.err
    assert bad in ran.err
    assert "rejectedIdentifier" in ran.err
    assert "failed validations left" not in ran.err
    assert customer.authority.made() - before == Made(accounts=1)
    assert customer.issue("-d", good).status == 0
