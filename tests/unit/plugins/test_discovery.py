"""Providers are found by their entry points, and a broken one hurts no other."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from certd.model.errors import ConfigError
from certd.plugins.discovery import GROUP, Providers
from tests.unit.plugins.distributions import GOOD, SitePackages

OURS = {"rfc2136", "exec"}
ROOT = Path(__file__).parents[3]


def test_the_entry_points_of_pyproject_are_those_that_are_installed() -> None:
    """They drift apart when one is added and the environment is not installed again."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = {entry.name: entry.value for entry in metadata.entry_points(group=GROUP)}

    assert project["entry-points"][GROUP] == installed
    assert set(installed) == OURS


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_own_are_found_like_anybodys(name: str) -> None:
    spec = Providers.installed().load(name)

    assert spec.name == name
    assert spec.summary


def test_one_of_another_distribution_is_found(site_packages: SitePackages) -> None:
    site_packages.install("certd-acme", "certd_acme_a", GOOD.format(name="acmedns"), "acmedns", version="2.1")
    providers = Providers.installed()
    (found,) = (each for each in providers if each.name == "acmedns")

    assert providers.load("acmedns").summary == "a good one"
    assert found.distribution == "certd-acme 2.1"
    assert set(providers.names) == {*OURS, "acmedns"}


def test_two_distributions_with_one_name_are_an_error_that_names_both(site_packages: SitePackages) -> None:
    """Never a matter of order on the path: DNS keys would go to whoever comes first."""
    site_packages.install("certd-one", "certd_one", GOOD.format(name="rfc2136"), "rfc2136")
    providers = Providers.installed()
    with pytest.raises(
        ConfigError, match=r"provider rfc2136: is brought by certd 0\.\d\.\d and certd-one 1\.0"
    ) as caught:
        providers.load("rfc2136")

    assert "uninstall one of them" in caught.value.hint
    assert providers.load("exec").name == "exec"


def test_one_distribution_that_is_on_the_path_twice_counts_once(
    site_packages: SitePackages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source checkout beside an installed copy; Python itself imports the first."""
    first = SitePackages(tmp_path / "first")
    first.folder.mkdir()
    for place, version in ((site_packages, "1.0"), (first, "2.0")):
        place.install("certd-Two", "certd_two", GOOD.format(name="two"), "two", version=version)
    monkeypatch.syspath_prepend(str(first.folder))
    providers = Providers.installed()

    assert [each.distribution for each in providers if each.name == "two"] == ["certd-Two 2.0"]
    with pytest.raises(ConfigError, match="there is no such provider"):
        providers.load("Two")


BROKEN = {
    "syntax": ("def (", "SyntaxError"),
    "missing-import": ("import certd_no_such_module", "ModuleNotFoundError"),
    "raises": ("raise RuntimeError('no SDK here')", "RuntimeError: no SDK here"),
    "says-a-lot": ("raise RuntimeError('x\\n' * 10000)", "RuntimeError: x x x"),
    "exits": ("import sys; sys.exit('I am a script')", "SystemExit: I am a script"),
    "no-spec": ("", "AttributeError"),
    "something-else": ("SPEC = object()", "is not a ProviderSpec but object"),
    "another-name": (GOOD.format(name="third"), "calls itself third"),
    "newer-api": (GOOD.format(name="broken").replace("open=open_)", "open=open_, api_version=2)"), "plugin API 2"),
    "unknown-field": (GOOD.format(name="broken").replace("open=open_)", "open=open_, colour='red')"), "TypeError"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_one_says_what_is_wrong_and_hurts_no_other(case: str, site_packages: SitePackages) -> None:
    source, why = BROKEN[case]
    module = f"certd_broken_{case.replace('-', '_')}"
    site_packages.install("certd-broken", module, source, "broken")
    providers = Providers.installed()
    with pytest.raises(ConfigError) as caught:
        providers.load("broken")

    assert str(caught.value).startswith(f"provider broken ({module}:SPEC, from certd-broken 1.0): ")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert providers.load("rfc2136").name == "rfc2136"


def test_listing_imports_no_provider(site_packages: SitePackages) -> None:
    site_packages.install("certd-broken", "certd_broken_import", "raise RuntimeError", "broken")

    assert "broken" in Providers.installed().names
    assert "certd_broken_import" not in sys.modules


@pytest.mark.parametrize(
    "entry_points",
    [
        "[certd.providers]\nno equals sign\n",
        "[certd.providers\nx = y:Z\n",
        "x = y:Z\n",
        "\x00",
        "[certd.providers]\n= y\n",
    ],
    ids=["no-equals-sign", "no-bracket", "no-section", "binary", "no-name"],
)
def test_metadata_that_cannot_be_read_hurts_no_other(entry_points: str, site_packages: SitePackages) -> None:
    site_packages.install("certd-odd", "certd_odd", "", entry_points=entry_points)

    assert Providers.installed().load("exec").name == "exec"


def test_metadata_without_a_name_hurts_no_other(site_packages: SitePackages) -> None:
    site_packages.install("certd-nameless", "certd_nameless", GOOD.format(name="nameless"), "nameless")
    (site_packages.folder / "certd_nameless-1.0.dist-info" / "METADATA").unlink()

    assert Providers.installed().load("exec").name == "exec"


@pytest.mark.parametrize(
    ("name", "meant"), [("rfc2163", "rfc2136"), ("exce", "exec"), ("Exec", "exec"), ("route53", ""), ("", "")]
)
def test_an_unknown_name_is_answered_with_those_there_are(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no such provider.*\(installed: exec, rfc2136\)") as caught:
        Providers.installed().load(name)

    assert (f"did you mean {meant}?" in str(caught.value)) is bool(meant)


def test_without_any_provider_the_answer_says_so() -> None:
    with pytest.raises(ConfigError, match=r"\(installed: none\)"):
        Providers([]).load("rfc2136")


def test_discovery_imports_no_provider_and_no_dns_library() -> None:
    """`certd providers list` is one of the first commands people type."""
    code = (
        "import sys; from certd.plugins.discovery import Providers; list(Providers.installed());"
        "print([m for m in ('dns', 'aiohttp', 'acme', 'certd_providers.rfc2136') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.strip() == "[]"
