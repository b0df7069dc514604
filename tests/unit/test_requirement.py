"""A test that lacks a program says so, and in CI that is a failure."""

import pytest

from tests.servers.requirement import Missing, program, require


def test_what_is_there_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTD_TEST_STRICT", "1")
    assert require("found") == "found"


def test_what_is_missing_skips_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CERTD_TEST_STRICT", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^x is not installed"):
        require(Missing("x is not installed"))


def test_what_is_missing_fails_where_no_skip_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTD_TEST_STRICT", "1")
    with pytest.raises(pytest.fail.Exception, match="x is not installed"):
        require(Missing("x is not installed"))


def test_a_missing_program_names_the_package_that_brings_it() -> None:
    assert program("no-such-program", "some-package") == Missing(
        "no-such-program is not installed (Debian package some-package)"
    )
