"""One certificate from nothing: what is durable before what, and what it costs the CA."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from certd.model.acme import ChallengeType, Order, OrderStatus
from certd.model.records import OrderState
from certd.model.steps import set_trap
from tests.unit.issue.place import Place, desired

#: Each effect on the world, and the row that must be durable before it (invariants 1, 2, 3, 5).
DURABLE_BEFORE = [
    ("account-key-stored:after", "ca newAccount"),
    ("account-stored:after", "ca newOrder"),
    ("intent-stored:after", "ca newOrder"),
    ("order-stored:after", "ca authorization"),
    ("proofs-journalled:after", "publish _acme-challenge.example.org"),
    ("publish _acme-challenge.example.org", "ca challenge"),
    ("intent-stored:after", "ca finalize"),
    ("withdrawal-fenced:after", "withdraw _acme-challenge.example.org"),
    ("certificate-url-stored:after", "ca certificate"),
    ("generation-stored:after", "files-staged:before"),
    ("files-renamed:after", "live-switched:before"),
]


async def traced(place: Place) -> list[str]:
    set_trap(lambda step, edge: place.trace.append(f"{step.value}:{edge}"))
    await place.issue(None, place.dns)
    set_trap(None)
    return place.trace


@pytest.mark.parametrize(("row", "effect"), DURABLE_BEFORE)
async def test_each_effect_comes_after_its_row(place: Place, row: str, effect: str) -> None:
    """The journal is written before the world is touched, or a crash could not know what to undo."""
    trace = await traced(place)
    assert trace.index(row) < trace.index(effect)


async def test_proofs_are_withdrawn_only_once_the_authorizations_are_final(place: Place) -> None:
    trace = await traced(place)
    ready = trace.index("ca order")
    assert ready < trace.index("withdraw _acme-challenge.example.org")
    await place.assert_clean()


async def test_a_certificate_on_a_warm_account_costs_seven_requests(place: Place) -> None:
    place.ca.issuance_looks = 1
    await place.issue(desired("example.org"))
    place.ca.requests.clear()
    await place.issue(desired("www.example.org"))
    assert place.ca.requests == {
        "newOrder": 1,
        "authorization": 1,
        "challenge": 1,
        "order": 3,  # one of them because of issuance_looks
        "finalize": 1,
        "certificate": 1,
    }
    assert place.ca.requests.total() <= 7 + place.ca.issuance_looks


async def test_a_hundred_names_cost_two_requests_each_and_five_more(place: Place) -> None:
    """The order is polled, not a hundred authorizations."""
    names = [f"host-{n}.example.org" for n in range(100)]
    await place.issue(desired(*names))
    place.ca.requests.subtract({"newAccount": 1})
    assert place.ca.requests.total() == 205
    assert not place.world.ours


async def test_wildcard_and_apex_share_one_txt_name(place: Place) -> None:
    """Two values side by side, each withdrawn alone, and a stranger's third one untouched."""
    await place.issue(desired("example.org", "*.example.org"), place.dns)
    assert place.trace.count("publish _acme-challenge.example.org") == 2
    assert place.trace.count("withdraw _acme-challenge.example.org") == 2
    await place.assert_clean()


async def test_authorizations_that_are_valid_by_reuse_need_no_proof(place: Place) -> None:
    """R21: the status is looked at first."""
    place.ca.reuses_authorizations = True
    await place.issue(desired("example.org"))
    place.trace.clear()
    place.progress.was_valid.clear()
    await place.issue(desired("example.org", "www.example.org"))
    assert place.trace.count("ca challenge") == 1
    assert len([t for t in place.trace if t.startswith("publish")]) == 1
    assert {str(i): t for i, t in place.progress.was_valid.items()} == {
        "example.org": None,
        "www.example.org": ChallengeType.HTTP_01,
    }


async def test_an_order_that_is_ready_at_once_is_finalized_at_once(place: Place) -> None:
    """R21: a reused order; there is nothing to prove and nothing to poll for."""
    place.ca.reuses_authorizations = True
    await place.issue()
    place.ca.requests.clear()
    await place.issue()
    assert place.ca.requests == {"newOrder": 1, "finalize": 1, "order": 1, "certificate": 1}


async def test_a_ca_that_validates_and_issues_slowly_is_waited_for(place: Place) -> None:
    place.ca.validation_looks = place.ca.issuance_looks = 6
    await place.issue()
    await place.assert_clean()
    # 50 ms, growing by 1.6: eight looks take about three seconds.
    assert place.ca.requests["order"] == 14


async def test_retry_after_is_never_cut_short(place: Place) -> None:
    """R33: a look before the CA's moment only costs it a request."""
    asked: list[datetime] = []

    def slow(order: Order) -> Order:
        asked.append(place.clock.now())
        later = place.clock.now() + timedelta(seconds=30)
        return order if order.status is OrderStatus.VALID else replace(order, retry_after=later)

    place.ca.validation_looks = place.ca.issuance_looks = 1
    place.ca.distort["order"] = place.ca.distort["finalize"] = slow
    await place.issue()
    pauses = [(b - a).total_seconds() for a, b in pairwise(asked)]
    assert sum(pause >= 30 for pause in pauses) >= 2
    assert place.ca.requests["order"] <= 5


async def test_the_order_row_has_everything_that_resuming_needs(place: Place) -> None:
    """Design 10: nothing is derived again from configuration."""
    generation, _ = await place.issue()
    row = await place.on_ledger(lambda ledger: ledger.order(generation.order_id))
    assert row is not None
    assert row.state is OrderState.DONE
    assert (row.csr, row.key_id) == (place.ca.issued[0].csr, generation.key_id)
    assert (row.url, row.certificate_url) == (place.ca.orders[0].url, "https://ca.test/certificate/1")


async def test_what_was_done_is_told_in_the_commits_that_made_it_true(place: Place) -> None:
    await place.issue()
    events = [e["event"] for _, e in await place.on_ledger(lambda ledger: ledger.events())]
    assert events == ["AccountRegistered", "OrderPlaced", "CertificateIssued"]


@pytest.mark.parametrize("type_", [ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01])
async def test_a_listener_answers_from_the_journal_alone(place: Place, type_: ChallengeType) -> None:
    await place.issue(None, type_)
    assert not [t for t in place.trace if t.startswith(("publish", "withdraw"))]
    await place.assert_clean()
