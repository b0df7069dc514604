"""Colour on terminals alone, words where there is no UTF-8, and nothing that an encoding could break."""

import io
import json
import sys
from collections.abc import Callable

import pytest

from certd.cli.terminal import mark, paint, print_json, say

Streams = Callable[[str], tuple[io.BytesIO, io.BytesIO]]


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """stdout and stderr of a process whose terminal speaks this encoding."""

    def make(encoding: str) -> tuple[io.BytesIO, io.BytesIO]:
        raw = io.BytesIO(), io.BytesIO()
        for name, octets in zip(("stdout", "stderr"), raw, strict=True):
            monkeypatch.setattr(sys, name, Terminal(octets, encoding=encoding, write_through=True))
        return raw

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return make


def test_a_terminal_gets_colour_beside_the_sign(streams: Streams) -> None:
    out, _ = streams("utf-8")
    say(mark(good=True))
    say(mark(good=False))
    assert out.getvalue().decode() == "\x1b[32m✓\x1b[0m\n\x1b[31m✗\x1b[0m\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_refused(streams: Streams, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """no-color.org"""
    monkeypatch.setenv(name, value)
    out, _ = streams("utf-8")
    say(paint("✓", "green"))
    assert out.getvalue().decode() == "✓\n"


def test_what_is_no_terminal_gets_none(capsys: pytest.CaptureFixture[str]) -> None:
    say(mark(good=True), err=True)
    assert capsys.readouterr() == ("", "✓\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_without_utf_8_signs_are_words(streams: Streams, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out, err = streams(encoding)
    say(f"{mark(good=True)} {mark(good=False)} a → b … §6.1 \N{EN DASH} 漢")
    say("✓", err=True)
    assert out.getvalue().decode("ascii") == "ok FAIL a -> b ... section 6.1 - \\u6f22\n"
    assert err.getvalue() == b"ok\n"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_path_that_is_no_text_is_shown_and_breaks_nothing(streams: Streams, encoding: str) -> None:
    """PEP 383: octets that the locale cannot read are surrogates in Python."""
    out, _ = streams(encoding)
    say("/srv/\udcff/live")
    assert out.getvalue() == b"/srv/\\udcff/live\n"


def test_json_survives_every_locale(streams: Streams) -> None:
    out, _ = streams("ascii")
    fields = {"error": "café ✓ \udcff"}
    print_json(fields)
    assert json.loads(out.getvalue()) == fields
