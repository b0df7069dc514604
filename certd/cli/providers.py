"""`certd providers list|show`: which challenge providers there are, and what each one wants to know.

Facts go to stdout, a table for people and `--json` for programs; a provider that cannot be loaded is listed with its
reason and hurts no other.
"""

from typing import TYPE_CHECKING, Any

import click

from certd.cli.commands import Group
from certd.cli.terminal import print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certd.plugins.discovery import Found, Providers
    from certd.plugins.fields import Option


@click.group("providers", cls=Group)
def command() -> None:
    """List the challenge providers, or show one with its options."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the installed providers."""
    providers = _installed()
    rows = [_summary(providers, found) for found in providers]
    if as_json:
        print_json({"providers": rows})
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        say(f"{row['name']:{width}}   {row['summary'] or 'FAIL ' + row['error']}")
    say("\noptions and an example: certd providers show NAME" if rows else "no providers are installed")


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Show a provider's options, their defaults, and an example."""
    facts = _facts(_installed(), name)
    if as_json:
        print_json(facts)
        return
    say(f"{facts['name']}   {facts['summary']}\n{' ' * len(name)}   from {facts['distribution']}\n")
    width = max((len(option["name"]) for option in facts["options"]), default=0)
    for option in facts["options"]:
        state = "required" if option["required"] else f"default {option['default'] or 'none'}"
        say(f"  {option['name']:{width}}   {option['doc']}")
        say(f"  {'':{width}}   {option['type']}; {state}")
    say(f"\nexample:\n  {facts['example']}")


def _installed() -> "Providers":
    from certd.plugins.discovery import Providers

    return Providers.installed()


def _summary(providers: "Providers", found: "Found") -> dict[str, str]:
    from certd.model.errors import ConfigError

    summary, error = "", ""
    try:
        summary = providers.load(found.name).summary
    except ConfigError as failure:
        error = str(failure)
    return {"name": found.name, "summary": summary, "distribution": found.distribution, "error": error}


def _facts(providers: "Providers", name: str) -> dict[str, Any]:
    from certd.plugins.fields import options_of

    spec = providers.load(name)
    options = options_of(spec.options)
    return {
        "name": spec.name,
        "summary": spec.summary,
        "distribution": next(found.distribution for found in providers if found.name == name),
        "api_version": spec.api_version,
        "options": [
            {
                "name": option.name,
                "type": option.kind.value,
                "required": option.required,
                "default": option.default,
                "doc": option.doc,
            }
            for option in options
        ],
        "example": _example(name, options),
    }


def _example(name: str, options: "Iterable[Option]") -> str:
    """A command line with what is required and what its author shows an example for."""
    shown = [option for option in options if option.required or option.example]
    given = [f"--dns-option {option.name}={option.example or option.name.upper()}" for option in shown]
    return " ".join(["certd issue -d example.org -d '*.example.org' --dns", name, *given])
