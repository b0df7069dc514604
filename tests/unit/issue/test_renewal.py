"""The moment of a renewal: asked for right after issuance, drawn once for each window, stored (RFC 9773)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from certd.issue.ports import Patience
from certd.issue.renewal import refresh_renewal
from certd.ledger.ledger import Ledger
from certd.model.errors import CaProtocolError, CaUnreachable
from certd.model.records import Generation, Renewal
from certd.model.steps import Step
from tests.fakes.ca import Fault, refusal
from tests.unit.issue.place import Killed, Place, desired, kill_at

HOUR = timedelta(hours=1)


async def refresh(place: Place, generation: Generation) -> Renewal:
    async def act(ledger: Ledger) -> Renewal:
        return await refresh_renewal(await place.tools(ledger, (place.webroot,), Patience()), generation)

    return await place.on_ledger(act)


async def test_the_window_is_asked_for_right_after_issuance(place: Place) -> None:
    place.ca.has_ari = True
    start = place.clock.now() + timedelta(days=59)
    place.ca.window = (start, start + timedelta(days=2))
    generation, renewal = await place.issue()
    assert (renewal.window_start, renewal.window_end, renewal.by_ca) == (*place.ca.window, True)
    assert renewal.window_start <= renewal.due_at < renewal.window_end
    assert renewal.next_fetch_at == place.clock.now() + 6 * HOUR
    stored = await place.on_ledger(lambda ledger: ledger.renewal(generation.name, generation.number))
    assert stored == renewal


async def test_a_moment_is_drawn_once_for_each_window(place: Place) -> None:
    """§4.2: drawing at every check would drift to the end of the window, or past it."""
    place.ca.has_ari = True
    start = place.clock.now() + timedelta(days=59)
    place.ca.window = (start, start + timedelta(days=2))
    generation, first = await place.issue()
    same = {(await refresh(place, generation)).due_at for _ in range(5)}
    assert same == {first.due_at}
    place.ca.window = (start + HOUR, start + timedelta(days=2))
    assert (await refresh(place, generation)).due_at != first.due_at


async def test_a_ca_without_ari_is_not_asked(place: Place) -> None:
    generation, renewal = await place.issue()
    assert place.ca.requests["renewalInfo"] == 0
    assert (renewal.by_ca, renewal.next_fetch_at) == (False, None)
    middle = generation.not_before + (generation.not_after - generation.not_before) * 2 / 3
    assert abs(renewal.due_at - middle) <= (generation.not_after - generation.not_before) / 100


@pytest.mark.parametrize(
    "trouble",
    [CaUnreachable("reset"), CaProtocolError("end before start"), refusal("serverInternal", status=500)],
    ids=str,
)
async def test_a_ca_that_does_not_answer_is_asked_again_after_six_hours(place: Place, trouble: Exception) -> None:
    """§4.3.3. The certificate is issued all the same, and the last window stays."""
    place.ca.has_ari = True
    generation, first = await place.issue()
    place.ca.faults.append(Fault("renewalInfo", trouble))
    again = await refresh(place, generation)
    assert again == replace(first, next_fetch_at=place.clock.now() + 6 * HOUR)


async def test_a_first_question_without_an_answer_leaves_a_moment_of_our_own(place: Place) -> None:
    place.ca.has_ari = True
    place.ca.faults.append(Fault("renewalInfo", CaUnreachable("reset")))
    generation, renewal = await place.issue()
    assert (renewal.by_ca, renewal.next_fetch_at) == (False, place.clock.now() + 6 * HOUR)
    assert generation.not_before < renewal.due_at < generation.not_after


async def test_an_expired_certificate_is_not_asked_about(place: Place) -> None:
    """§4.3.2: "Clients MUST NOT" ask then."""
    place.ca.has_ari = True
    generation, _ = await place.issue()
    await place.clock.sleep_until(generation.not_after)
    place.ca.requests.clear()
    await refresh(place, generation)
    assert place.ca.requests["renewalInfo"] == 0


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_kill_while_the_moment_is_stored_draws_no_second_one(place: Place, edge: str) -> None:
    place.ca.has_ari = True
    start = place.clock.now() + timedelta(days=59)
    place.ca.window = (start, start + timedelta(days=2))
    kill_at(Step.WINDOW_STORED, edge)
    with pytest.raises(Killed):
        await place.issue()
    (generation,) = await place.on_ledger(lambda ledger: ledger.generations(desired().name))
    stored = await place.on_ledger(lambda ledger: ledger.renewal(generation.name, generation.number))
    again = await refresh(place, generation)
    assert stored is None or stored.due_at == again.due_at
    assert (stored is None) is (edge == "before")
