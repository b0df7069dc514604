"""http-01 answers stay a minute longer (invariant 5): CAs look from several places, some once more after `valid`."""

from datetime import timedelta

import pytest

from certd.issue.issue import issue
from certd.issue.ports import Patience
from certd.ledger.ledger import Ledger
from certd.model.acme import ChallengeType
from certd.model.errors import CaUnreachable, ChallengeFailed, ListenError, TryLater
from certd.model.proofs import ProofRecord, ProofState
from certd.model.steps import Step, set_trap
from tests.fakes.ca import Fault
from tests.unit.issue.place import MISSING, Killed, Place, desired, kill_at

MINUTE = timedelta(minutes=1)
MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def place(place: Place) -> Place:
    place.webroot.lingers = MINUTE
    return place


async def journal(place: Place) -> list[ProofRecord]:
    """The proofs that are not known to be withdrawn."""

    async def act(ledger: Ledger) -> list[ProofRecord]:
        rows = [await ledger.order_by_url(order.url) for order in place.ca.orders]
        return [proof for row in rows if row is not None for proof in await ledger.proofs(row.id)]

    return await place.on_ledger(act)


async def until(place: Place, moment: timedelta) -> None:
    """So long after the fence."""
    (row,) = await journal(place)
    assert row.withdraw_at is not None
    await place.clock.sleep_until(row.withdraw_at - MINUTE + moment)


async def test_a_file_stays_a_minute_after_its_validation_and_is_gone_at_the_next_run_after_that(place: Place) -> None:
    """No run is longer for it: the journal has the moment, and whoever comes next takes the file away."""
    before = place.clock.now()
    await place.issue()
    (row,) = await journal(place)
    assert row.state is ProofState.WITHDRAWING
    assert row.withdraw_at is not None
    assert before + MINUTE < row.withdraw_at <= place.clock.now() + MINUTE
    await until(place, MINUTE - MOMENT)
    await place.bring_up_to_date(desired())
    assert place.world.ours, "a run within the minute leaves it"
    await until(place, MINUTE)
    await place.bring_up_to_date(desired())
    assert await journal(place) == []
    await place.assert_clean()


async def test_the_minute_begins_when_the_answer_is_no_longer_needed(place: Place) -> None:
    """Not with its publication: a validation may take minutes, and the late look comes after it."""
    place.ca.validation_looks = 40
    began = place.clock.now()
    await place.issue()
    (row,) = await journal(place)
    assert row.withdraw_at is not None
    assert row.withdraw_at - began > 2 * MINUTE


async def test_a_dead_orders_answers_go_at_once(place: Place) -> None:
    """Nobody looks at them any more, and whoever sees a failure looks for what it left."""
    place.world.blind = True
    with pytest.raises(ChallengeFailed):
        await place.issue()
    assert not place.world.ours
    assert await journal(place) == []


async def test_what_is_published_again_is_no_longer_to_be_withdrawn(place: Place) -> None:
    """The order is kept after a provider's trouble, and its proofs go out again while they still linger."""
    place.webroot.invisible = TryLater("not there yet", until=None)
    with pytest.raises(TryLater):
        await place.issue()
    assert [row.state for row in await journal(place)] == [ProofState.WITHDRAWING]
    place.webroot.invisible = None
    place.ca.faults.append(Fault("challenge", CaUnreachable("reset"), late=True))
    with pytest.raises(CaUnreachable):
        await place.issue()
    assert [(row.state, row.withdraw_at) for row in await journal(place)] == [(ProofState.JOURNALLED, None)]
    await place.clock.sleep_until(place.clock.now() + 2 * MINUTE)
    await place.issue()
    assert place.world.ours
    assert len(place.ca.orders) == 1


async def test_a_file_that_cannot_be_taken_away_is_tried_again_by_each_run(place: Place) -> None:
    """Its moment is past, and stays so."""
    await place.issue()
    await until(place, 2 * MINUTE)
    place.webroot.stuck = ListenError("/srv/www: read-only file system")
    for _ in range(2):
        await place.bring_up_to_date(desired())
        assert [row.state for row in await journal(place)] == [ProofState.WITHDRAWING]
    place.webroot.stuck = None
    await place.bring_up_to_date(desired())
    await place.assert_clean()


@pytest.mark.parametrize("step", [Step.WITHDRAWAL_FENCED, Step.PROOFS_WITHDRAWN, Step.WITHDRAWAL_STORED])
@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_kill_while_it_is_taken_away_leaves_it_to_the_next_run(place: Place, step: Step, edge: str) -> None:
    """CR1 for the sweep."""
    await place.issue()
    await until(place, MINUTE)
    kill_at(step, edge)
    with pytest.raises(Killed):
        await place.bring_up_to_date(desired())
    set_trap(None)
    await place.bring_up_to_date(desired())
    await place.assert_clean()


async def test_records_at_a_provider_do_not_linger(place: Place) -> None:
    """dns-01 is asked for by name, and the next order needs that name: only http-01 answers have names of their own."""
    await place.issue(desired("example.org", "*.example.org"), place.webroot, place.dns)
    assert {type_ for type_, _, _ in place.world.ours} == {ChallengeType.HTTP_01}


async def test_a_listener_answers_while_its_process_lives_and_its_row_is_closed_at_once(place: Place) -> None:
    """Nothing of it outlives the process, so there is nothing for the next run to do."""

    async def act(ledger: Ledger) -> None:
        tools = await place.tools(ledger, (ChallengeType.HTTP_01,), Patience())
        await issue(tools, desired(), MISSING, by_person=True)
        assert await ledger.stray_proofs() == []
        (token,) = [c.token for c in place.ca.authorizations[0].challenges if c.type is ChallengeType.HTTP_01]
        assert ledger.live_proofs.http_01(token) is not None

    await place.on_ledger(act)
