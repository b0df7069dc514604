"""One account an issuer: its key is durable first, and nothing replaces it in silence (invariant 1)."""

from dataclasses import replace

import pytest

from certd.account.ensure import register_new
from certd.account.ports import ExternalAccount
from certd.model.acme import AccountStatus, AccountUrl, IssuerId
from certd.model.errors import CaRefused, CaUnreachable, ConfigError, PolicyRefused
from certd.model.keys import KeyType
from certd.model.secret import Secret
from certd.model.steps import Step, set_trap
from tests.fakes.ca import Fault, refusal
from tests.unit.account.place import Place, wish
from tests.unit.issue.place import Killed, kill_at

EXTERNAL = ExternalAccount("kid-1", Secret("c2VjcmV0LW1hYy1rZXk"))
URL = AccountUrl("https://ca.test/account/1")


async def test_an_account_is_made_once_and_then_known(place: Place) -> None:
    row = await place.ensure()
    assert (row.url, row.status, row.contact) == (URL, AccountStatus.VALID, ("mailto:ops@example.org",))
    place.ca.requests.clear()
    assert await place.ensure() == row
    assert place.ca.requests == {}
    assert await place.events() == ["AccountRegistered"]
    await place.assert_one_account()


async def test_the_key_is_durable_before_the_ca_hears_of_it(place: Place) -> None:
    trace = place.ca.trace
    set_trap(lambda step, edge: trace.append(f"{step.value}:{edge}"))
    await place.ensure()
    assert trace.index("account-key-stored:after") < trace.index("ca newAccount") < trace.index("account-stored:before")


@pytest.mark.parametrize("key_type", [KeyType.EC256, KeyType.EC384, KeyType.RSA2048])
async def test_the_key_is_of_the_type_that_was_asked_for(place: Place, key_type: KeyType) -> None:
    row = await place.ensure(wish(key_type=key_type))
    key = await place.on_ledger(lambda ledger: ledger.key(row.key_id))
    assert key.type is key_type


@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", [Step.ACCOUNT_KEY_STORED, Step.ACCOUNT_SENT, Step.ACCOUNT_STORED])
async def test_a_kill_at_each_step_makes_no_second_account(place: Place, step: Step, edge: str) -> None:
    """The same key finds the same account (RFC 8555 §7.3)."""
    kill_at(step, edge)
    with pytest.raises(Killed):
        await place.ensure()
    await place.ensure()
    await place.assert_one_account()
    assert len(await place.rows()) == 1


async def test_a_lost_reply_to_new_account_costs_no_second_one(place: Place) -> None:
    """R24."""
    place.ca.faults.append(Fault("newAccount", CaUnreachable("reset"), late=True))
    with pytest.raises(CaUnreachable):
        await place.ensure()
    await place.ensure()
    await place.assert_one_account()


async def test_an_account_whose_reply_was_lost_is_found_without_terms_and_binding(place: Place) -> None:
    """It exists: asking for an agreement again, or spending a binding that works once, would be wrong."""
    place.ca.terms = place.ca.wants_eab = True
    kill_at(Step.ACCOUNT_SENT, "after")
    with pytest.raises(Killed):
        await place.ensure(wish(terms_agreed=True, external=EXTERNAL))
    await place.ensure()
    await place.assert_one_account()
    assert place.ca.requests["newAccount"] == 1


async def test_two_issuers_have_two_accounts_with_two_keys(place: Place) -> None:
    """R45: a fresh account key for each account."""
    first = await place.ensure()
    second = await place.ensure(wish(issuer=IssuerId("https://other.test/dir")))
    assert first.key_id != second.key_id
    assert len(place.ca.accounts) == 2


# What the CA wants of a new account


async def test_terms_are_never_agreed_to_by_default(place: Place) -> None:
    """R25: said with the URL, before a key is stored or anything sent."""
    place.ca.terms = True
    with pytest.raises(ConfigError, match=r"https://ca\.test/terms") as caught:
        await place.ensure()
    assert "--agree-tos" in caught.value.hint
    assert (place.ca.requests, await place.rows()) == ({}, [])
    await place.ensure(wish(terms_agreed=True))
    await place.assert_one_account()


async def test_a_missing_external_binding_is_told_before_anything_is_sent(place: Place) -> None:
    """R28."""
    place.ca.wants_eab = True
    with pytest.raises(ConfigError, match="external account binding") as caught:
        await place.ensure()
    assert "--eab-kid" in caught.value.hint
    assert (place.ca.requests, await place.rows()) == ({}, [])
    await place.ensure(wish(external=EXTERNAL))
    await place.assert_one_account()


@pytest.mark.parametrize("kind", ["externalAccountRequired", "unauthorized", "invalidContact", "badSignatureAlgorithm"])
async def test_a_refused_registration_is_tried_again_with_the_same_key(place: Place, kind: str) -> None:
    """A wrong binding, put right by the person: no heap of keys, no second account."""
    place.ca.faults.append(Fault("newAccount", refusal(kind)))
    with pytest.raises(CaRefused, match=kind):
        await place.ensure()
    key = await place.key()
    await place.ensure(wish(external=EXTERNAL))
    assert await place.key() == key
    await place.assert_one_account()


# Pinned accounts


async def test_a_pinned_account_is_used(place: Place) -> None:
    row = await place.ensure()
    assert await place.ensure(wish(pinned=URL)) == row


async def test_a_pinned_account_whose_key_is_missing_stops_and_says_how_to_restore(place: Place) -> None:
    """Never a silent new one: CAA records name the account."""
    with pytest.raises(PolicyRefused, match=URL) as caught:
        await place.ensure(wish(pinned=URL))
    assert "restore" in caught.value.hint
    assert place.ca.requests == {}


async def test_a_pinned_account_that_the_ca_lost_is_not_replaced(place: Place) -> None:
    await place.ensure()
    place.ca.accounts.clear()
    place.ca.requests.clear()
    with pytest.raises(PolicyRefused, match="pinned"):
        await place.register_again(wish(pinned=URL))
    assert place.ca.requests == {}


# Accounts that have ended


async def test_a_deactivated_account_is_refused_and_not_replaced(place: Place) -> None:
    """R30: permanent, no retry loop, no silent registration."""
    await place.ensure()
    await place.deactivate()
    place.ca.requests.clear()
    with pytest.raises(PolicyRefused, match="deactivated") as caught:
        await place.ensure()
    assert "certd account register" in caught.value.hint
    assert place.ca.requests == {}


async def test_a_new_account_after_a_deactivated_one_has_a_new_key(place: Place) -> None:
    await place.ensure()
    old = await place.key()
    await place.deactivate()
    await place.with_tools(lambda tools: register_new(tools, wish()))
    row = await place.ensure()
    assert row.url == "https://ca.test/account/2"
    assert await place.key() != old


@pytest.mark.parametrize("status", [AccountStatus.DEACTIVATED, AccountStatus.REVOKED])
async def test_an_account_that_is_found_ended_is_kept_so(place: Place, status: AccountStatus) -> None:
    """It was ended elsewhere, between our request and its lost reply."""
    kill_at(Step.ACCOUNT_SENT, "after")
    with pytest.raises(Killed):
        await place.ensure()
    place.ca.accounts[URL].status = status
    for _ in range(2):
        with pytest.raises(PolicyRefused, match=status.value):
            await place.ensure()
    assert (await place.row()).status is status
    assert place.ca.requests["newAccount"] + place.ca.requests["findAccount"] == 2, "the second run asks nobody"


# REPAIR


async def test_an_account_that_the_ca_does_not_know_is_registered_once(place: Place) -> None:
    """R26, CA6: a staging CA wiped its database. Looked up by its key first, then registered with the same key."""
    await place.ensure()
    key = await place.key()
    place.ca.accounts.clear()
    place.ca.requests.clear()
    row = await place.register_again()
    assert place.ca.requests == {"findAccount": 1, "newAccount": 1}
    assert await place.key() == key
    assert row.url == URL
    await place.assert_one_account()


async def test_an_account_with_another_url_is_found_by_its_key(place: Place) -> None:
    """Nothing is registered if the key has an account."""
    await place.ensure()
    known = place.ca.accounts.pop(URL)
    known.url = AccountUrl("https://ca.test/acct/moved")
    place.ca.accounts[known.url] = known
    place.ca.requests.clear()
    row = await place.register_again()
    assert place.ca.requests == {"findAccount": 1}
    assert row.url == known.url
    await place.assert_one_account()


async def test_an_account_that_is_found_deactivated_is_not_taken_for_valid(place: Place) -> None:
    """R30."""
    await place.ensure()
    place.ca.accounts[URL].status = AccountStatus.DEACTIVATED
    with pytest.raises(PolicyRefused, match="deactivated"):
        await place.register_again()
    assert (await place.row()).status is AccountStatus.DEACTIVATED


@pytest.mark.parametrize("error", [refusal("serverInternal", status=500), CaUnreachable("reset")], ids=str)
async def test_a_look_up_that_fails_registers_nothing(place: Place, error: Exception) -> None:
    await place.ensure()
    place.ca.requests.clear()
    place.ca.faults.append(Fault("findAccount", error))
    with pytest.raises(type(error)):
        await place.register_again()
    assert place.ca.requests["newAccount"] == 0


@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", [Step.ACCOUNT_KEY_STORED, Step.ACCOUNT_SENT, Step.ACCOUNT_STORED])
async def test_a_kill_while_an_account_is_repaired_makes_no_second_one(place: Place, step: Step, edge: str) -> None:
    await place.ensure()
    place.ca.accounts.clear()
    kill_at(step, edge)
    with pytest.raises(Killed):
        await place.register_again()
    if place.ca.accounts:
        await place.ensure()
    else:
        await place.register_again()
    await place.assert_one_account()
    assert len(await place.rows()) == 1


async def test_an_account_that_was_lost_in_the_middle_of_a_rollover_is_repaired(place: Place) -> None:
    """The CA knows neither key, so neither stands in the way of registering one."""
    await place.ensure()
    kill_at(Step.ROLLOVER_SENT, "before")
    with pytest.raises(Killed):
        await place.roll_over()
    place.ca.accounts.clear()
    row = await place.ensure()
    assert row.next_key_id is not None, "nothing is decided by looking only"
    await place.register_again()
    await place.assert_one_account()


async def test_an_account_whose_new_key_was_only_late_to_be_known_is_found_by_it(place: Place) -> None:
    """The replicas of a CA knew neither key for a moment; a second account would be the price of a hasty end."""
    await place.ensure()
    kill_at(Step.ROLLOVER_SENT, "after")
    with pytest.raises(Killed):
        await place.roll_over()
    for where in ("findAccount", "keyChange"):
        place.ca.faults.append(Fault(where, refusal("accountDoesNotExist")))
    await place.ensure()
    await place.register_again()
    await place.assert_one_account()


async def test_an_unheard_of_status_is_no_reason_to_refuse(place: Place) -> None:
    """Unknown words stay visible and decide nothing; what the account may do, the next request says."""
    place.ca.distort["account"] = lambda account: replace(account, status=AccountStatus.UNKNOWN)
    assert (await place.ensure()).status is AccountStatus.VALID
