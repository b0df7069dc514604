"""What certd prints: colour only on a terminal and never as the only sign, plain ASCII where that is all there is.

`NO_COLOR` (no-color.org) and `TERM=dumb` take colour away. JSON is ASCII with escapes, so that it survives every
locale. Nothing printed here can fail because of an encoding.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import TextIO

import click

_PLAIN = str.maketrans({"✓": "ok", "✗": "FAIL", "→": "->", "…": "...", "\N{EN DASH}": "-", "§": "section "})


def say(text: str, *, err: bool = False) -> None:
    """One line or more, to stdout; progress and errors go to stderr."""
    stream = sys.stderr if err else sys.stdout
    click.echo(_encodable(text, stream), err=err)


def print_json(fields: Mapping[str, object]) -> None:
    """The one object of a command with `--json`."""
    click.echo(json.dumps(fields))


def paint(text: str, color: str) -> str:
    """*text* in colour; `click.echo` takes it away again where no terminal is."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, fg=color)


def mark(*, good: bool) -> str:
    """✓ or ✗, which `say` writes as `ok` or `FAIL` where there is no UTF-8."""
    return paint("✓", "green") if good else paint("✗", "red")


def _encodable(text: str, stream: TextIO) -> str:
    encoding = stream.encoding or "ascii"
    if encoding.lower().replace("-", "") != "utf8":
        text = text.translate(_PLAIN)
    # Paths may hold octets that are no text in this locale (PEP 383): shown as escapes.
    return text.encode(encoding, "backslashreplace").decode(encoding)
