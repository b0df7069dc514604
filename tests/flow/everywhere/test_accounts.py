"""The account at each CA, from its terms to its end; what `certd issue` does with each state of it."""

import base64

from tests.flow.everywhere.at_the_ca import account_of
from tests.flow.everywhere.authorities import Feature
from tests.flow.everywhere.backstage import Backstage
from tests.flow.everywhere.certificates import leaf_of
from tests.flow.everywhere.customer import Customer
from tests.flow.everywhere.scenario import each_server, scenario
from tests.flow.everywhere.served import Binding
from tests.servers.made import Made


@each_server(Feature.TERMS)
def test_terms_that_nobody_agreed_to(customer: Customer) -> None:
    """R25: they are named, nothing is made, and the same command with the agreement works."""
    before, name = customer.authority.made(), customer.name()
    wanted = ("issue", *customer.by_http(), "-d", name)
    ran = customer.certd(*wanted)
    assert ran.status == 2, ran.err
    assert "--agree-tos" in ran.err
    assert customer.authority.made() == before
    assert customer.certd(*wanted, "--agree-tos").status == 0


@scenario(Feature.EAB)
def test_a_binding_that_is_missing(customer: Customer) -> None:
    """R28: said before anything is asked for that the CA would have to refuse."""
    before, name = customer.authority.made(), customer.name()
    ran = customer.certd("issue", *customer.by_http(), "--agree-tos", "-d", name)
    assert ran.status == 2, ran.err
    assert "external account binding" in ran.err
    assert "--eab-kid KID --eab-hmac-key file:PATH" in ran.err
    assert customer.authority.made() == before


@scenario(Feature.EAB)
def test_a_binding_that_is_wrong_and_then_right(customer: Customer) -> None:
    """R28: the CA's word on a wrong key and on an unknown id; the right one makes the account; no secret is said."""
    before, name, right = customer.authority.made(), customer.name(), customer.binding
    wrong = base64.urlsafe_b64encode(b"w" * 32).decode().rstrip("=")
    command = ("issue", *customer.by_http(), "--agree-tos", "-d", name)
    exits = {Binding(right.kid, wrong): customer.authority.kind.wrong_binding, Binding("unknown-kid", right.key): 1}
    for binding, status in exits.items():
        ran = customer.certd(*command, *customer.bound(binding))
        assert ran.status == status, ran.err
        assert "newAccount" in ran.err
        assert binding.key not in ran.err + ran.out
    assert customer.authority.made() == before
    ran = customer.certd(*command, *customer.bound(right))
    assert ran.status == 0, ran.err
    assert right.key not in ran.err + ran.out
    assert customer.authority.made() - before == Made(accounts=1, orders=1, certificates=1)
    assert right.key.encode() not in (customer.state / "ledger.sqlite").read_bytes()


@each_server(Feature.SHOWS_CONTACT)
def test_an_account_is_registered_shown_changed_and_used(customer: Customer, behind: Backstage) -> None:
    """One account, whatever is done with it, and as many times."""
    before, name = customer.authority.made(), customer.name()
    register = ("account", "register", *customer.as_new(), "-m", "one@example.com", "--json")
    first, second = customer.certd(*register), customer.certd(*register)
    assert (first.status, second.status) == (0, 0), first.out + second.out
    assert first.json == second.json
    (made,) = second.json["accounts"]
    assert (made["status"], made["contact"]) == ("valid", ["mailto:one@example.com"])
    ran = customer.certd("account", "update", "-m", "two@example.com")
    assert ran.status == 0, ran.err
    assert behind.run(account_of(customer))["contact"] == ["mailto:two@example.com"]
    assert "two@example.com" in customer.offline("account", "show").out
    ran = customer.issue("-d", name, "--account", made["url"])
    assert ran.status == 0, ran.err
    assert customer.authority.made() - before == Made(accounts=1, orders=1, certificates=1)


@scenario(Feature.KEY_CHANGE)
def test_the_account_has_a_new_key_and_goes_on(customer: Customer, behind: Backstage) -> None:
    """R29: the same account, signed for by another key of another type, renews; the old key is nobody's."""
    before, name = customer.authority.made(), customer.name()
    assert customer.issue("-d", name).status == 0
    old = customer.rows("SELECT url, key_id FROM accounts")
    ran = customer.certd("account", "rollover", "--key-type", "ec384")
    assert ran.status == 0, ran.err
    new = customer.rows("SELECT url, key_id FROM accounts")
    assert old[0][0] == new[0][0]
    assert old[0][1] != new[0][1]
    assert behind.run(account_of(customer))["status"] == "valid"
    ran = customer.issue("-d", name, "--force")
    assert ran.status == 0, ran.err
    assert customer.authority.made() - before == Made(accounts=1, orders=2, certificates=2)


@each_server(but=(Feature.KEY_CHANGE,))
def test_a_ca_that_changes_no_keys(customer: Customer) -> None:
    """Its refusal is told, and the account goes on with the key it has."""
    name = customer.name()
    assert customer.issue("-d", name).status == 0
    key = customer.rows("SELECT key_id, next_key_id FROM accounts")
    ran = customer.certd("account", "rollover")
    assert ran.status in {1, 2}, ran.err
    assert "keyChange" in ran.err
    assert customer.rows("SELECT key_id, next_key_id FROM accounts") == key
    assert customer.issue("-d", name, "--force").status == 0


@each_server()
def test_an_account_that_is_ended_orders_nothing_more(customer: Customer, behind: Backstage) -> None:
    """R30: refused by policy, not registered again in silence; a person's `account register` makes another."""
    before, name = customer.authority.made(), customer.name()
    assert customer.issue("-d", name).status == 0
    ran = customer.certd("account", "deactivate", "--yes")
    assert ran.status == 0, ran.err
    asked = customer.authority.requests()
    ran = customer.issue("-d", name, "--force")
    assert ran.status == 3, ran.err
    assert "this account is deactivated" in ran.err
    assert "certd account register" in ran.err
    assert customer.authority.requests() == asked
    assert customer.certd("account", "register", *customer.as_new()).status == 0
    ran = customer.issue("-d", name, "--force")
    assert ran.status == 0, ran.err
    assert customer.authority.made() - before == Made(accounts=2, orders=2, certificates=2)


@each_server()
def test_a_pinned_account_whose_key_is_elsewhere(customer: Customer) -> None:
    """Invariant 1: stop and say how to restore it; never a silent new one."""
    before, name = customer.authority.made(), customer.name()
    ran = customer.issue("-d", name, "--account", "https://ca.example/acct/1")
    assert ran.status == 3, ran.err
    assert "restore the state directory" in ran.err
    assert customer.authority.made() == before
    assert customer.issue("-d", name).status == 0
    leaf_of(customer, name)
