"""A plugin's options: from what people type to its dataclass, and to the journal and back.

`check` turns pairs into `Chosen`, which holds references and no secrets: it can be journalled, shown, and read back by
another process. `build` makes the dataclass, secrets resolved, at the moment the plugin is opened. Must never repeat
the value of a secret option, or of one it does not know, in an error (invariant 8).
"""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from certd.api import ProviderSpec
from certd.model.errors import ConfigError
from certd.model.secret import Resolve, Secret
from certd.plugins.fields import Kind, Option, options_of, parse_value

O = TypeVar("O")  # noqa: E741 - an options dataclass
Text = str | tuple[str, ...]

_QUOTED = 300  # characters of what a plugin says

#: Checks a secret's reference and gives it its canonical form; raises ConfigError without repeating it.
CheckReference = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Checked options of one provider: those that were given, by name. A list option's text is a tuple."""

    provider: str
    values: tuple[tuple[str, Text], ...]

    def to_json(self) -> str:
        """Canonical: equal options give equal text. References only, so it may be journalled and shown."""
        return json.dumps(dict(self.values), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, provider: str, text: str) -> "Chosen":
        """Read `to_json`'s text; raises ConfigError when it is something else."""
        try:
            read = json.loads(text)
        except ValueError:
            read = None
        if not (isinstance(read, dict) and all(_is_text(value) for value in read.values())):
            raise ConfigError(f"provider {provider}: its journalled options cannot be read")
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}
        return cls(provider, tuple(sorted(values.items())))


def parse_pairs(texts: Iterable[str], *, option: str = "--dns-option") -> tuple[tuple[str, str], ...]:
    """Split `KEY=VALUE` texts. Raises ConfigError; what has no `=` may be a secret and is not repeated."""
    pairs: list[tuple[str, str]] = []
    mistakes: list[str] = []
    for number, text in enumerate(texts, 1):
        key, equals, value = text.partition("=")
        if equals and key.strip():
            pairs.append((key.strip().replace("-", "_"), value.strip()))
        else:
            mistakes.append(f"{option}: number {number} is not KEY=VALUE")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return tuple(pairs)


def check(spec: ProviderSpec[Any], pairs: Iterable[tuple[str, str]], reference: CheckReference) -> Chosen:
    """Check *pairs* against the provider's options; a list option may be given several times.

    Raises one ConfigError that names every mistake: unknown, missing, given twice, not of its type, a secret given
    directly instead of by reference.
    """
    known = {option.name: option for option in options_of(spec.options)}
    texts: dict[str, list[str]] = {}
    for key, text in pairs:
        texts.setdefault(key, []).append(text)
    mistakes = [_unknown(key, known) for key in texts if key not in known]
    values: dict[str, Text] = {}
    for key, given in texts.items():
        if (option := known.get(key)) is not None:
            try:
                values[key] = _canonical(option, given, reference)
            except ConfigError as mistake:
                mistakes.append(f"{key}: {_hinted(mistake)}")
    mistakes += [f"{o.name}: is required: {o.doc}" for o in known.values() if o.required and o.name not in texts]
    if not mistakes:
        mistakes = _own_mistakes(spec, values)
    _raise(spec.name, mistakes)
    return Chosen(spec.name, tuple(sorted(values.items())))


def build(spec: ProviderSpec[O], chosen: Chosen, resolve: Resolve) -> O:
    """The options dataclass, with its secrets. Blocks on files, so call it in a thread from asyncio.

    Raises one ConfigError for all secrets that cannot be read, or when the options do not fit this version of the
    provider any more.
    """
    known = {option.name: option for option in options_of(spec.options)}
    mistakes = [_unknown(key, known) for key, _ in chosen.values if key not in known]
    values: dict[str, Any] = {}
    for key, text in chosen.values:
        if (option := known.get(key)) is not None:
            try:
                values[key] = _value(option, text, resolve)
            except ConfigError as mistake:
                mistakes.append(f"{key}: {_hinted(mistake)}")
    _raise(spec.name, mistakes)
    try:
        return spec.options(**values)
    except ConfigError as misfit:
        raise ConfigError(f"provider {spec.name}: {_hinted(misfit)}") from misfit
    except Exception as misfit:  # an author may not have read that it must be ConfigError
        why = " ".join(f"{type(misfit).__name__}: {misfit}".split())[:_QUOTED]
        raise ConfigError(f"provider {spec.name}: {why}") from misfit


def _canonical(option: Option, given: Sequence[str], reference: CheckReference) -> Text:
    if option.kind is Kind.LIST:
        parts = (part.strip() for text in given for part in text.split(","))
        return tuple(part for part in parts if part)
    if len(given) > 1:
        raise ConfigError("is given more than once")
    if option.kind is Kind.SECRET:
        return reference(given[0])
    value = parse_value(option.kind, given[0])
    return str(value) if isinstance(value, Path) else given[0]


def _value(option: Option, text: Text, resolve: Resolve) -> Any:
    if isinstance(text, tuple) != (option.kind is Kind.LIST):
        raise ConfigError("has the wrong shape")
    if not isinstance(text, str):
        return text
    return resolve(text) if option.kind is Kind.SECRET else parse_value(option.kind, text)


def _own_mistakes(spec: ProviderSpec[Any], values: Mapping[str, Text]) -> list[str]:
    """What the dataclass itself says about the values (its `__post_init__`), secrets left blank."""
    try:
        build(spec, Chosen(spec.name, tuple(values.items())), lambda _: Secret(""))
    except ConfigError as mistake:
        return str(mistake).removeprefix(f"provider {spec.name}: ").splitlines()
    return []


def _unknown(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), 1)
    return f"{key}: unknown option" + (f"; did you mean {near[0]}?" if near else f" (there are: {', '.join(known)})")


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _hinted(mistake: ConfigError) -> str:
    return f"{mistake} ({mistake.hint})" if mistake.hint else str(mistake)


def _raise(provider: str, mistakes: Sequence[str]) -> None:
    if mistakes:
        raise ConfigError(
            "\n".join(f"provider {provider}: {mistake}" for mistake in mistakes),
            hint=f"certd providers show {provider}",
        )
