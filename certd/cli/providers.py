"""`certd providers list|show`: which challenge providers there are, and what each one wants to know.

Facts go to stdout, a table for people and `--json` for programs; a provider that cannot be loaded is listed with its
reason and hurts no other.
"""

import shlex
from typing import TYPE_CHECKING, Any

import click

from certd.cli.commands import Group
from certd.cli.terminal import mark, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from certd.api import ProviderSpec
    from certd.plugins.discovery import Providers
    from certd.plugins.fields import Option


@click.group("providers", cls=Group)
def command() -> None:
    """List the challenge providers, or show one with its options."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the installed providers."""
    providers = _installed()
    rows = [_summary(providers, name) for name in providers.names]
    if as_json:
        print_json({"providers": rows})
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        say(f"{row['name']:{width}}   " + (f"{mark(good=False)} {row['error']}" if row["error"] else row["summary"]))
    say("\noptions and an example: certd providers show NAME" if rows else "no providers are installed")


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Show a provider's options, their defaults, and an example."""
    providers = _installed()
    spec = providers.load(name)
    options = _options(spec)
    if as_json:
        facts: dict[str, object] = {
            "name": name,
            "summary": _one_line(spec.summary),
            "distribution": providers.distributions(name),
        }
        facts |= {"api_version": spec.api_version, "options": [_fields(option) for option in options]}
        print_json(facts | {"example": shlex.join(_example(name, options))})
        return
    say(f"{name}   {_one_line(spec.summary)}\n{' ' * len(name)}   from {providers.distributions(name)}\n")
    width = max((len(option.name) for option in options), default=0)
    for option in options:
        say(f"  {option.name:{width}}   {option.doc}")
        say(f"  {'':{width}}   {option.kind.value}; {_state(option)}")
    say("" if options else "  it has no options\n")
    say("example:\n  " + " \\\n    ".join(_folded(_example(name, options))))


def _installed() -> "Providers":
    from certd.plugins.discovery import Providers

    return Providers.installed()


def _summary(providers: "Providers", name: str) -> dict[str, str]:
    from certd.model.errors import ConfigError

    summary, error = "", ""
    try:
        summary = _one_line(providers.load(name).summary)
    except ConfigError as failure:
        error = f"{failure}; {failure.hint}" if failure.hint else str(failure)
        error = error.removeprefix(f"provider {name}: ")
    return {"name": name, "summary": summary, "distribution": providers.distributions(name), "error": error}


def _options(spec: "ProviderSpec[Any]") -> "Sequence[Option]":
    from certd.model.errors import ConfigError
    from certd.plugins.fields import options_of

    try:
        return options_of(spec.options)
    except ConfigError as mistake:
        raise ConfigError(f"provider {spec.name}: {mistake}", hint="tell whoever maintains it") from mistake


def _fields(option: "Option") -> dict[str, object]:
    return {
        "name": option.name,
        "type": option.kind.name.lower(),
        "required": option.required,
        "default": option.default,
        "doc": option.doc,
    }


def _state(option: "Option") -> str:
    if option.required:
        return "required"
    return f"default {option.default}" if option.default else "optional"


def _example(name: str, options: "Iterable[Option]") -> list[str]:
    """A command line with what is required and what its author shows an example for."""
    shown = [option for option in options if option.required or option.example]
    given = [f"{option.name}={option.example or option.name.upper()}" for option in shown]
    words = ["certd", "issue", "-d", "example.org", "-d", "*.example.org", "--dns", name]
    return words + [word for each in given for word in ("--dns-option", each)]


def _folded(words: "Sequence[str]") -> "Iterator[str]":
    """For a shell, an option of the provider a line."""
    head = words.index("--dns-option") if "--dns-option" in words else len(words)
    yield shlex.join(words[:head])
    for start in range(head, len(words), 2):
        yield shlex.join(words[start : start + 2])


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
