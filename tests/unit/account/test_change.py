"""Contact and end of an account (RFC 8555 §7.3.2, §7.3.6)."""

import pytest

from certd.model.acme import AccountStatus, AccountUrl
from certd.model.errors import CaRefused, CaUnreachable
from certd.model.steps import Step
from tests.fakes.ca import Fault, refusal
from tests.unit.account.place import Place
from tests.unit.issue.place import Killed, kill_at

URL = AccountUrl("https://ca.test/account/1")
CUTS = [
    (Step.ACCOUNT_CHANGE_SENT, "before"),
    (Step.ACCOUNT_CHANGE_SENT, "after"),
    (Step.ACCOUNT_CHANGED, "before"),
    (Step.ACCOUNT_CHANGED, "after"),
]


@pytest.mark.parametrize("contact", [("mailto:new@example.org",), ("mailto:a@example.org", "mailto:b@example.org"), ()])
async def test_the_contact_is_what_was_asked_for(place: Place, contact: tuple[str, ...]) -> None:
    """None removes them all."""
    await place.ensure()
    row = await place.change_contact(*contact)
    assert row.contact == place.ca.accounts[URL].contact == contact
    assert (await place.events())[-1] == "AccountChanged"
    await place.assert_one_account()


async def test_a_refused_contact_changes_nothing(place: Place) -> None:
    before = await place.ensure()
    place.ca.faults.append(Fault("account", refusal("invalidContact", "no MX for example.org")))
    with pytest.raises(CaRefused, match="no MX"):
        await place.change_contact("mailto:ops@nowhere.example")
    assert await place.row() == before


@pytest.mark.parametrize(("step", "edge"), CUTS)
async def test_a_contact_change_that_a_crash_cut_short_is_made_good_by_the_same_again(
    place: Place, step: Step, edge: str
) -> None:
    await place.ensure()
    kill_at(step, edge)
    with pytest.raises(Killed):
        await place.change_contact("mailto:new@example.org")
    row = await place.change_contact("mailto:new@example.org")
    assert row.contact == place.ca.accounts[URL].contact == ("mailto:new@example.org",)


@pytest.mark.parametrize("hides", [True, False], ids=["as Boulder", "as the RFC"])
@pytest.mark.parametrize(("step", "edge"), CUTS)
async def test_a_deactivation_that_a_crash_cut_short_is_made_good_by_the_same_again(
    place: Place, step: Step, edge: str, hides: bool
) -> None:
    """The CA refuses everything of a deactivated account, its deactivation as well."""
    place.ca.hides_ended_accounts = hides
    await place.ensure()
    kill_at(step, edge)
    with pytest.raises(Killed):
        await place.deactivate()
    row = await place.deactivate()
    assert row.status is place.ca.accounts[URL].status is AccountStatus.DEACTIVATED
    assert (await place.events()).count("AccountChanged") == 1


async def test_a_deactivation_twice_asks_nobody(place: Place) -> None:
    await place.ensure()
    await place.deactivate()
    place.ca.requests.clear()
    await place.deactivate()
    assert place.ca.requests == {}


@pytest.mark.parametrize(
    "error",
    [refusal("serverInternal", status=500), refusal("unauthorized", "a front end's rule", 403), CaUnreachable("reset")],
    ids=str,
)
async def test_a_deactivation_that_is_not_done_is_not_recorded(place: Place, error: Exception) -> None:
    await place.ensure()
    place.ca.faults.append(Fault("account", error))
    with pytest.raises(type(error)):
        await place.deactivate()
    assert (await place.row()).status is AccountStatus.VALID
