"""The command line as a whole: helps that fit a terminal, errors before anything is done, options with one meaning."""

import json
from pathlib import Path

import click
import pytest

from certd import __version__
from certd.cli.commands import Sectioned
from certd.cli.main import COMMANDS, cli, group

COMMAND_LINES = [
    *([name] for name in COMMANDS),
    *(["account", name] for name in ("show", "register", "update", "rollover", "deactivate")),
    *(["providers", name] for name in ("list", "show")),
]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli(list(arguments))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("words", [[], *COMMAND_LINES], ids=" ".join)
def test_each_help_fits_the_terminal_and_is_plain_ascii(
    words: list[str], columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the first that people see, perhaps on a serial console."""
    monkeypatch.setenv("COLUMNS", str(columns))
    status, out, _ = run(capsys, *words, "--help")
    assert status == 0
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= columns
    assert "..." not in out.replace("[ARGS]...", ""), "a line was cut short"


def test_the_help_names_every_command_with_the_line_it_has_itself() -> None:
    context = click.Context(group)
    assert group.list_commands(context) == list(COMMANDS)
    for name in COMMANDS:
        assert group.get_command(context, name) is not None


def test_every_option_of_issue_is_in_one_section_of_its_help() -> None:
    command = group.get_command(click.Context(group), "issue")
    assert isinstance(command, Sectioned)
    context = click.Context(command, info_name="issue")
    out = command.get_help(context)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        assert record is not None
        assert out.count(f"\n  {record[0]}") == 1, record[0]
    assert "\nOptions:" not in out, "an option before the first section"


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"certd {__version__}\n", "")


def test_nothing_to_do_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys)
    assert (status, out) == (2, "")
    assert "certd issue --server dev -d demo.localhost" in err


def test_no_names_is_a_mistake_with_a_way_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = run(capsys, "issue", "--state-dir", str(tmp_path / "state"))
    assert (status, err) == (
        2,
        "error: no names given\n  hint: add -d NAME, once for each name, or --csr FILE\n",
    )
    assert not (tmp_path / "state").exists()


def test_all_mistakes_are_told_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Whoever corrects one and meets the next, ten times, gives up."""
    wrong = (
        *("-d", "a,b", "-d", "*", "--key-type", "dsa", "--challenge", "http01", "--server", "lets"),
        *("--http-address", "80", "--dns-option", "x", "--dns-resolver", "ns1", "--propagation-timeout", "soon"),
        *("--out-mode", "rw", "--reload", "'", "-m", "ops", "--eab-kid", "k", "--name", "../x"),
    )
    status, out, _ = run(capsys, "issue", *wrong, "--state-dir", str(tmp_path / "state"), "--json")
    found = json.loads(out)
    assert (status, found["kind"]) == (2, "Mistakes")
    said = found["error"].splitlines()
    for word in (
        *("'a,b'", "'*'", "'dsa'", "'http01'", "'lets'", "'80'", "--dns-option", "--dns-resolver"),
        *("--propagation-timeout", "--out DIR is missing", "--reload", "'ops'", "--eab-hmac-key", "'../x'"),
    ):
        assert sum(word in line for line in [*said, *found["hint"].splitlines()]) >= 1, word
    assert len(said) >= 13
    assert not (tmp_path / "state").exists()


def test_relative_directories_mean_the_same_everywhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paths that are printed go into other programs' configuration."""
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, "account", "show", "--state-dir", "state")
    assert (status, out) == (
        0,
        f"there are no accounts in {tmp_path}/state; certd issue registers one when it needs it\n",
    )


def test_the_state_directory_may_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTD_STATE_DIR", str(tmp_path / "elsewhere"))
    assert f"in {tmp_path}/elsewhere;" in run(capsys, "account", "show")[1]


@pytest.mark.parametrize("command", ["show", "update", "rollover", "deactivate"])
def test_looking_at_nothing_makes_nothing(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A mistyped --state-dir must not become a directory."""
    more = {"update": ["-m", "ops@shop.test"], "deactivate": ["--yes"]}.get(command, [])
    run(capsys, "account", command, *more, "--state-dir", str(tmp_path / "typo"))
    run(capsys, "revoke", "shop.test", "--state-dir", str(tmp_path / "typo"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["update"], "give the new contacts with -m, or --no-email"),
        (["update", "-m", "a@b.test", "--no-email"], "give the new contacts with -m, or --no-email"),
        (["deactivate"], "deactivating ends the account for good"),
        (["register", "--key-type", "ed25519"], "Ed25519: CAs do not take account keys of this type"),
        (["register", "-m", "a@b.test,c@d.test"], "'a@b.test,c@d.test' is not one e-mail address"),
        (["rollover", "--key-type", "dsa"], "'dsa' is not a key type"),
    ],
)
def test_what_an_account_command_cannot_mean(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, err = run(capsys, "account", *arguments, "--state-dir", str(tmp_path / "state"))
    assert status == 2
    assert err.startswith(f"error: {said}")
    assert not (tmp_path / "state").exists()


def test_devca_refuses_what_it_cannot_listen_on(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "devca", "--listen", "192.0.2.1:14000")
    assert (status, err.splitlines()[0]) == (2, "error: 192.0.2.1: devca listens on loopback addresses only")
