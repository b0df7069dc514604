"""Fail-points: each step can be killed, ended or failed before and after, and costs nothing when nobody does."""

import doctest
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from certd.model import steps
from certd.model.steps import Step, set_trap, step, trap_from_environment

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_trap_stays() -> Iterator[None]:
    yield
    set_trap(None)


def test_steps_are_named_once_each_in_words_fit_for_a_shell() -> None:
    names = [member.value for member in Step]
    assert len(set(names)) == len(names) == len(Step.__members__)
    assert all(name.replace("-", "").isalpha() and name.islower() for name in names)
    assert [member.name.lower().replace("_", "-") for member in Step] == names


def test_a_trap_sees_both_edges_of_a_step() -> None:
    seen: list[object] = []
    set_trap(lambda which, edge: seen.append((which, edge)))
    with step(Step.ORDER_SENT):
        seen.append("the effect")
    assert seen == [(Step.ORDER_SENT, "before"), "the effect", (Step.ORDER_SENT, "after")]
    set_trap(None)
    with step(Step.ORDER_SENT):
        pass
    assert len(seen) == 3


def test_a_step_that_failed_is_not_done() -> None:
    """A kill "after" stands for a power cut once the effect is there."""
    seen: list[str] = []
    set_trap(lambda _, edge: seen.append(edge))
    with pytest.raises(LookupError), step(Step.ORDER_SENT):
        raise LookupError
    assert seen == ["before"]


@pytest.mark.parametrize("edge", ["before", "after"])
def test_a_trap_from_the_environment_fails_at_its_edge_only(edge: str) -> None:
    trap = trap_from_environment(f"order-sent:{edge}:fail")
    trap(Step.ORDER_STORED, edge)
    trap(Step.ORDER_SENT, "after" if edge == "before" else "before")
    with pytest.raises(OSError, match=f"fail-point order-sent:{edge}:fail"):
        trap(Step.ORDER_SENT, edge)


def test_a_trap_can_wait_for_a_later_time() -> None:
    """Steps of one run come several times: a proof for each name, a commit for each order."""
    trap = trap_from_environment("order-sent:before:fail:3")
    for _ in range(2):
        trap(Step.ORDER_SENT, "before")
    with pytest.raises(OSError, match="fail-point"):
        trap(Step.ORDER_SENT, "before")
    trap(Step.ORDER_SENT, "before")


@pytest.mark.parametrize(
    "text", ["order-sent", "order-sent:before", "no-such-step:before:kill", "order-sent:before:kill:x"]
)
def test_a_trap_that_is_written_wrong_does_not_go_unnoticed(text: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|no-such-step|invalid literal"):
        trap_from_environment(text)


CHILD = """
from certd.model.steps import Step, step
print("begun", flush=True)
with step(Step.ORDER_SENT):
    print("sent", flush=True)
print("gone on", flush=True)
"""


@pytest.mark.parametrize(
    ("trap", "status", "printed"),
    [
        (None, 0, ["begun", "sent", "gone on"]),
        ("", 0, ["begun", "sent", "gone on"]),
        ("order-stored:before:kill", 0, ["begun", "sent", "gone on"]),
        ("order-sent:before:kill", -signal.SIGKILL, ["begun"]),
        ("order-sent:after:kill", -signal.SIGKILL, ["begun", "sent"]),
        ("order-sent:before:term", -signal.SIGTERM, ["begun"]),
        ("order-sent:after:kill:2", 0, ["begun", "sent", "gone on"]),
    ],
)
def test_the_environment_kills_the_process_at_a_step(trap: str | None, status: int, printed: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    if trap is not None:
        environment["CERTD_FP"] = trap
    argv = [sys.executable, "-c", CHILD]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.split("\n")[:-1]) == (status, printed), done.stderr


def test_the_example_in_the_code_is_true() -> None:
    assert doctest.testmod(steps).failed == 0
