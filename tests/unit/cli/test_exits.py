"""One table says how each kind of error ends the process; a kind that is not in it fails here."""

import inspect
import json
import sys
from collections.abc import Callable
from datetime import timedelta

import click
import pytest

from certd.cli.commands import run
from certd.cli.errors import Interrupted
from certd.cli.exits import BY_REACTION, EXIT_STATUS, exit_status
from certd.model import errors
from certd.model.problems import REACTIONS, Problem, Reaction
from tests.fakes.clock import START

KINDS = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CertdError)}
STATUSES = {
    errors.ConfigError("x"): 2,
    errors.Mistakes([errors.ConfigError("x"), errors.ConfigError("y")]): 2,
    errors.PolicyRefused("x"): 3,
    errors.TryLater("x", until=None): 75,
    errors.CaUnreachable("x"): 1,
    errors.CaProtocolError("x"): 1,
    errors.ChallengeFailed("x", failed=[]): 1,
    errors.ChainRejected("x"): 1,
    errors.ProviderError("x", retry=False): 1,
    errors.DeployError("x"): 1,
    errors.ListenError("x"): 1,
    errors.KeyStoreError("x"): 1,
    errors.StorageError("x"): 1,
}


class Strange(errors.StorageError):
    """Of a room of its own, as ClaimLost is."""


def refused(kind: str, status: int = 400) -> errors.CaRefused:
    return errors.CaRefused("ca.test: newOrder", Problem(f"urn:ietf:params:acme:error:{kind}", "no", status))


def failing(failure: Callable[[], BaseException]) -> click.Command:
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def command(as_json: bool) -> None:
        raise failure()

    return command


def test_every_kind_of_error_has_its_row() -> None:
    """A new one must be thought about: whether a timer shall come again, or a person."""
    assert set(EXIT_STATUS) == KINDS


@pytest.mark.parametrize(("error", "status"), STATUSES.items(), ids=lambda value: type(value).__name__)
def test_each_kind_ends_as_documented(error: errors.CertdError, status: int) -> None:
    assert exit_status(error) == status


def test_a_kind_of_another_room_ends_as_the_nearest_of_its_bases() -> None:
    assert exit_status(Strange("x")) == exit_status(errors.StorageError("x"))


@pytest.mark.parametrize("kind", REACTIONS)
def test_a_refusal_by_the_ca_ends_by_what_it_asks_of_us(kind: str) -> None:
    """75 for what passes by itself, 2 for what another command line helps against, 1 for the rest."""
    expected = {Reaction.LATER: 75, Reaction.CONFIGURATION: 2}.get(REACTIONS[kind], 1)
    assert exit_status(refused(kind)) == expected
    assert set(BY_REACTION) == {Reaction.LATER, Reaction.CONFIGURATION}


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [
        (lambda: errors.ConfigError("shop.test: no"), 2, "error: shop.test: no\n"),
        (lambda: click.UsageError("Give one."), 2, "error: give one\n  hint: certd --help\n"),
        (lambda: Interrupted(143, "stopped by SIGTERM"), 143, "stopped by SIGTERM\n"),
        (KeyboardInterrupt, 130, "\nbroken off\n"),
        (click.exceptions.Abort, 130, "broken off\n"),
    ],
)
def test_what_ends_a_command_is_told_on_stderr(
    failure: Callable[[], BaseException], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(failing(failure), []) == status
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", said)


@pytest.mark.parametrize(
    ("failure", "kind", "status"),
    [
        (lambda: errors.StorageError("state: full"), "StorageError", 1),
        (lambda: errors.Mistakes([errors.ConfigError("a"), errors.ConfigError("b")]), "Mistakes", 2),
        (lambda: errors.TryLater("later", until=START + timedelta(hours=1)), "TryLater", 75),
        (lambda: click.UsageError("give one"), "UsageError", 2),
        (lambda: Interrupted(130, "stopped by SIGINT"), "Interrupted", 130),
        (lambda: ZeroDivisionError("division by zero"), "Bug", 1),
    ],
)
def test_whoever_asked_for_json_gets_one_object_with_the_same_keys(
    failure: Callable[[], BaseException], kind: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(failing(failure), ["--json"]) == status
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert list(found) == ["status", "kind", "error", "hint", "retry_at", "problems", "exit_status"]
    assert (found["status"], found["kind"], found["exit_status"]) == ("error", kind, status)


def test_a_mistake_of_ours_is_told_as_one_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(failing(lambda: ZeroDivisionError("division by zero")), []) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "error: an error that certd did not expect: ZeroDivisionError: division by zero" in printed
    assert "please report it" in printed


@pytest.mark.parametrize("outcome", [None, 0, 3])
def test_what_a_command_returns_is_its_status(outcome: int | None) -> None:
    @click.command()
    def command() -> int | None:
        return outcome

    assert run(command, []) == (outcome or 0)


def test_a_reader_that_went_away_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """`certd account show | head -0`."""
    with open("/dev/null", "w") as sink:  # noqa: PTH123 - a descriptor that may be given away
        monkeypatch.setattr(sys, "stdout", sink)
        assert run(failing(BrokenPipeError), []) == 1


def test_help_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(failing(ValueError), ["--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: ")
