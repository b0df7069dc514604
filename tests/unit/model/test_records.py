"""The words of the ledger: which way an order may go, and that what is durable does not change by accident."""

from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any, get_type_hints

import pytest

from certd.model import records
from certd.model.records import ORDER_TRANSITIONS, OrderRecord, OrderState
from tests.unit.ledger.samples import order

S = OrderState
RECORDS = [kind for kind in vars(records).values() if isinstance(kind, type) and is_dataclass(kind)]


@pytest.mark.parametrize(
    ("state", "is_open", "is_paid", "next_states"),
    [
        (S.INTENT, True, False, {S.PLACED, S.DEAD}),
        (S.PLACED, True, False, {S.ISSUED, S.DEAD}),
        (S.ISSUED, True, True, {S.QUARANTINED, S.DONE, S.DEAD}),
        (S.QUARANTINED, True, True, {S.DONE, S.DEAD}),
        (S.DONE, False, False, set()),
        (S.DEAD, False, False, set()),
    ],
    ids=lambda value: value.value if isinstance(value, OrderState) else "",
)
def test_an_order_goes_forward_only(
    state: OrderState, is_open: bool, is_paid: bool, next_states: set[OrderState]
) -> None:
    """Invariant 3: what is paid is downloaded or given up; nothing leads back to where a certificate is bought."""
    assert (state.is_open, state.is_paid) == (is_open, is_paid)
    assert ORDER_TRANSITIONS[state] == next_states


def test_every_state_has_its_transitions() -> None:
    assert set(ORDER_TRANSITIONS) == set(OrderState)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_records_are_values(kind: type[Any]) -> None:
    """Frozen, slotted, and without anything that changes inside."""
    assert "__slots__" in vars(kind)
    assert kind.__dataclass_params__.frozen
    mutable = {list, dict, set, bytearray}
    assert not {hint for hint in get_type_hints(kind).values() if getattr(hint, "__origin__", hint) in mutable}


def test_a_record_is_changed_by_replacing_it() -> None:
    row = order()
    with pytest.raises(FrozenInstanceError):
        row.state = OrderState.DONE  # type: ignore[misc]
    assert replace(row, state=OrderState.PLACED).state is OrderState.PLACED
    assert row.state is OrderState.INTENT


def test_an_orders_row_has_all_that_resuming_needs() -> None:
    """Design 10: nothing is derived again from configuration after a crash."""
    needed = {"csr", "key_id", "profile", "preferred_chain", "replaces", "account_id", "issuer", "set_key", "url"}
    assert needed <= {field.name for field in fields(OrderRecord)}
