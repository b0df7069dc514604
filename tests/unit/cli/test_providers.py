"""`certd providers`: the first thing a person types who wants a wildcard, with every way to mistype it."""

import json
import shlex
from typing import Any

import pytest

from certd.api import ProviderSpec
from certd.cli.main import cli
from certd.plugins.options import check, parse_pairs
from certd.secrets.references import canonical_reference
from certd_providers import exec as exec_provider
from certd_providers import rfc2136
from tests.unit.plugins import distributions
from tests.unit.plugins.distributions import GOOD, SitePackages

site_packages = distributions.site_packages

WITH_OPTIONS = (
    GOOD.replace(
        'server: str = "ns1"',
        """server: str = field(metadata={"doc": "where", "example": "it's $HOME"})
    token: Secret[str] | None = field(default=None, metadata={"doc": "who"})
    deep: bool = field(default=True, metadata={"doc": "how"})
    zones: tuple[str, ...] = field(default=("a", "b"), metadata={"doc": "what"})""",
    )
    .replace("import dataclass", "import dataclass, field")
    .replace("import ProviderSpec", "import ProviderSpec, Secret")
)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    status = cli(["providers", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_list_is_a_table_that_says_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "list")

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"exec      {exec_provider.SPEC.summary}",
        f"rfc2136   {rfc2136.SPEC.summary}",
        "",
        "options and an example: certd providers show NAME",
    ]


def test_the_list_as_json_has_the_same_facts(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "list", "--json")
    rows = json.loads(out)["providers"]

    assert status == 0
    assert [row["name"] for row in rows] == ["exec", "rfc2136"]
    assert {key for row in rows for key in row} == {"name", "summary", "distribution", "error"}
    assert {row["distribution"].split()[0] for row in rows} == {"certd"}


def test_a_broken_one_is_listed_with_its_reason_and_hurts_no_other(
    site_packages: SitePackages, capsys: pytest.CaptureFixture[str]
) -> None:
    site_packages.install("certd-broken", "certd_cli_broken", "import certd_no_such_sdk", "broken")
    site_packages.install("certd-one", "certd_cli_one", GOOD.format(name="exec"), "exec")
    status, out, err = run(capsys, "list")
    broken, exec_, rfc2136_, *_ = out.splitlines()

    assert (status, err) == (0, "")
    assert broken.startswith("broken    ")
    assert "No module named 'certd_no_such_sdk'" in broken
    assert "update or uninstall that package" in broken
    assert "is brought by certd 0" in exec_
    assert "and certd-one 1.0; uninstall one of them" in exec_
    assert rfc2136_ == f"rfc2136   {rfc2136.SPEC.summary}"


def test_showing_a_broken_one_fails_with_its_reason(
    site_packages: SitePackages, capsys: pytest.CaptureFixture[str]
) -> None:
    site_packages.install("certd-broken", "certd_cli_broken", "import certd_no_such_sdk", "broken")
    status, out, err = run(capsys, "show", "broken")

    assert (status, out) == (2, "")
    assert err.startswith("error: provider broken (certd_cli_broken:SPEC, from certd-broken 1.0): cannot be loaded: ")
    assert "hint: update or uninstall that package" in err


def test_options_that_its_author_got_wrong_are_told_as_such(
    site_packages: SitePackages, capsys: pytest.CaptureFixture[str]
) -> None:
    source = GOOD.format(name="odd").replace('server: str = "ns1"', "server: list[str]")
    site_packages.install("certd-odd", "certd_cli_odd", source, "odd")
    status, _, err = run(capsys, "show", "odd")

    assert status == 2
    assert "error: provider odd: certd_cli_odd.Options.server: options cannot have the type list[str]" in err
    assert "hint: tell whoever maintains it" in err


def test_one_of_somebody_else_shows_every_kind_of_option(
    site_packages: SitePackages, capsys: pytest.CaptureFixture[str]
) -> None:
    site_packages.install(
        "certd-other", "certd_cli_other", WITH_OPTIONS.replace("{name}", "other"), "other", version="2.3"
    )

    assert run(capsys, "show", "other") == (
        0,
        """other   a good one
        from certd-other 2.3

  server   where
           text; required
  token    who
           secret, by reference (file:, env:, credential:); optional
  deep     how
           yes or no; default yes
  zones    what
           list, separated by commas; default a,b

example:
  certd issue -d example.org -d '*.example.org' --dns other \\
    --dns-option 'server=it'"'"'s $HOME'
""",
        "",
    )


@pytest.mark.parametrize("spec", [rfc2136.SPEC, exec_provider.SPEC], ids=lambda spec: spec.name)
def test_the_example_is_a_command_that_can_be_meant(
    spec: ProviderSpec[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """People copy it, and change the values."""
    _, out, _ = run(capsys, "show", spec.name)
    words = shlex.split(out.partition("example:\n")[2].replace("\\\n", " "))
    options = [words[number + 1] for number, word in enumerate(words) if word == "--dns-option"]

    assert words[:6] == ["certd", "issue", "-d", "example.org", "-d", "*.example.org"]
    assert options
    assert check(spec, parse_pairs(options), canonical_reference)
    assert json.loads(run(capsys, "show", spec.name, "--json")[1])["example"] == shlex.join(words)


def test_a_provider_as_json_has_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "show", "rfc2136", "--json")
    facts = json.loads(out)

    assert status == 0
    assert set(facts) == {"name", "summary", "distribution", "api_version", "options", "example"}
    assert {option["name"]: option["type"] for option in facts["options"]} == {
        "server": "text",
        "key_name": "text",
        "key_secret": "secret",
        "key_algorithm": "text",
        "ttl": "number",
        "timeout": "number",
    }
    assert [option["name"] for option in facts["options"] if option["required"]] == ["server"]


@pytest.mark.parametrize(
    ("arguments", "says", "hint"),
    [
        (("show", "rfc2163"), "provider rfc2163: there is no such provider; did you mean rfc2136?", "pip install"),
        (("show", "route53"), "provider route53: there is no such provider (installed: exec, rfc2136)", "pip install"),
        (("show", ""), "there is no such provider (installed: exec, rfc2136)", "pip install"),
        (("show",), "missing argument 'NAME'", "certd providers show --help"),
        (("show", "exec", "rfc2136"), "unexpected extra argument", "certd providers show --help"),
        (("list", "exec"), "unexpected extra argument", "certd providers list --help"),
        (("lst",), "there is no command 'lst'; did you mean list?", "certd providers --help"),
        (("--all",), "--all", "certd providers --help"),
    ],
)
def test_a_mistake_is_answered_with_what_helps(
    arguments: tuple[str, ...], says: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, *arguments)

    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert says in err
    assert "hint: " in err
    assert hint in err


def test_a_mistake_with_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "show", "rfc2163", "--json")
    fields = json.loads(out)

    assert (status, err) == (2, "")
    assert (fields["status"], fields["exit_status"]) == ("error", 2)
    assert "did you mean rfc2136?" in fields["error"]
