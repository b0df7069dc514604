"""Changing the account key: both keys are kept until it is proven which one the CA knows (R29)."""

import pytest

from certd.model.acme import AccountStatus, AccountUrl
from certd.model.errors import CaRefused, CaUnreachable, CertdError
from certd.model.keys import KeyType
from certd.model.steps import Step, set_trap
from tests.fakes.ca import Fault, refusal
from tests.unit.account.place import Place
from tests.unit.issue.place import Killed, kill_at

URL = AccountUrl("https://ca.test/account/1")
STEPS = [Step.ROLLOVER_KEY_STORED, Step.ROLLOVER_SENT, Step.ROLLOVER_STORED]


async def test_the_new_key_is_the_accounts_and_the_url_stays(place: Place) -> None:
    before = await place.ensure()
    row = await place.roll_over(KeyType.EC384)
    assert (row.url, row.id, row.next_key_id) == (before.url, before.id, None)
    assert row.key_id != before.key_id
    await place.assert_one_account()
    assert await place.events() == ["AccountRegistered", "AccountChanged"]
    key = await place.on_ledger(lambda ledger: ledger.key(row.key_id))
    assert key.type is KeyType.EC384


async def test_the_new_key_is_durable_before_the_ca_hears_of_it(place: Place) -> None:
    await place.ensure()
    trace = place.ca.trace
    set_trap(lambda step, edge: trace.append(f"{step.value}:{edge}"))
    await place.roll_over()
    assert (
        trace.index("rollover-key-stored:after") < trace.index("ca keyChange") < trace.index("rollover-stored:before")
    )


@pytest.mark.parametrize("again", ["ensure", "roll_over", "change_contact", "deactivate"])
@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_each_step_is_finished_by_whatever_comes_next(
    place: Place, step: Step, edge: str, again: str
) -> None:
    """Whichever key the CA knows, the next use of the account finds out."""
    await place.ensure()
    old = await place.key()
    kill_at(step, edge)
    with pytest.raises(Killed):
        await place.roll_over()
    await getattr(place, again)()
    await place.assert_one_account()
    assert len(place.ca.accounts) == 1
    began = (step, edge) != (Step.ROLLOVER_KEY_STORED, "before")
    assert (await place.key() != old) is (began or again == "roll_over")


async def test_the_same_command_after_a_crash_changes_the_key_once(place: Place) -> None:
    await place.ensure()
    kill_at(Step.ROLLOVER_SENT, "after")
    with pytest.raises(Killed):
        await place.roll_over()
    changed = place.ca.accounts[URL].key
    await place.roll_over()
    assert place.ca.accounts[URL].key == changed
    assert place.ca.requests["keyChange"] == 1


async def test_another_type_of_key_than_the_crashed_rollovers_is_rolled_over_to(place: Place) -> None:
    await place.ensure()
    kill_at(Step.ROLLOVER_SENT, "before")
    with pytest.raises(Killed):
        await place.roll_over(KeyType.EC256)
    row = await place.roll_over(KeyType.EC384)
    key = await place.on_ledger(lambda ledger: ledger.key(row.key_id))
    assert key.type is KeyType.EC384
    await place.assert_one_account()


@pytest.mark.parametrize("late", [False, True], ids=["refused", "done, and the reply is lost"])
@pytest.mark.parametrize(
    "answer",
    [
        CaUnreachable("reset"),
        refusal("serverInternal", status=500),
        refusal("", "HTTP 504", 504),
        refusal("rateLimited", status=429),
        refusal("malformed", "odd"),
        refusal("accountDoesNotExist"),
    ],
    ids=str,
)
async def test_no_answer_of_a_ca_makes_us_forget_the_key_that_it_knows(
    place: Place, answer: CertdError, late: bool
) -> None:
    """A front end's error says nothing of what stands behind it; a forgotten key is a lost account."""
    await place.ensure()
    place.ca.faults.append(Fault("keyChange", answer, late=late))
    with pytest.raises(type(answer)):
        await place.roll_over()
    await place.ensure()
    await place.assert_one_account()


async def test_a_refused_rollover_leaves_the_old_key_and_forgets_the_new_one(place: Place) -> None:
    """Once it is proven that the old key stands, a crash must not make the next run send it again."""
    await place.ensure()
    old = await place.key()
    place.ca.faults.append(Fault("keyChange", refusal("badPublicKey", "that curve is not for accounts")))
    with pytest.raises(CaRefused, match="that curve"):
        await place.roll_over()
    assert (await place.row()).next_key_id is None
    place.ca.requests.clear()
    await place.ensure()
    assert (await place.key(), place.ca.requests) == (old, {})


async def test_both_keys_stay_while_the_ca_will_not_say_which_it_knows(place: Place) -> None:
    await place.ensure()
    place.ca.faults.append(Fault("keyChange", refusal("malformed", "odd")))
    place.ca.faults.append(Fault("findAccount", CaUnreachable("reset"), times=2))
    with pytest.raises(CaRefused, match="odd"):
        await place.roll_over()
    assert (await place.row()).next_key_id is not None
    with pytest.raises(CaUnreachable):
        await place.ensure()
    await place.ensure()
    await place.assert_one_account()


async def test_a_replica_that_does_not_know_the_new_key_yet_costs_no_account(place: Place) -> None:
    """It was done, and the look-up says otherwise for a moment; the old key's signature is refused then."""
    await place.ensure()
    kill_at(Step.ROLLOVER_SENT, "after")
    with pytest.raises(Killed):
        await place.roll_over()
    place.ca.faults.append(Fault("findAccount", refusal("accountDoesNotExist"), times=1))
    with pytest.raises(CaRefused):
        await place.ensure()
    await place.ensure()
    await place.assert_one_account()


async def test_a_key_of_another_account_is_refused_and_nothing_changes(place: Place) -> None:
    await place.ensure()
    place.ca.faults.append(Fault("keyChange", refusal("conflict", "that key is in use", 409)))
    with pytest.raises(CaRefused, match="in use"):
        await place.roll_over()
    await place.assert_one_account()


@pytest.mark.parametrize("hides", [True, False])
async def test_a_rollover_of_an_account_that_has_ended_is_refused(place: Place, hides: bool) -> None:
    await place.ensure()
    place.ca.hides_ended_accounts = hides
    place.ca.accounts[URL].status = AccountStatus.DEACTIVATED
    with pytest.raises(CaRefused, match="deactivated"):
        await place.roll_over()
