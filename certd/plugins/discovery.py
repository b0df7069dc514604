"""Which challenge providers are installed: the entry points `certd.providers`, ours like anybody's.

Listing reads metadata only; a provider's module is imported when it is asked for by name, so that a broken one hurts
nobody else. Must never guess: two distributions with one name are an error, not a matter of order.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from certd.api import API_VERSION, ProviderSpec
from certd.model.errors import ConfigError

GROUP = "certd.providers"

_QUOTED = 300  # characters of what a plugin says


@dataclass(frozen=True, slots=True)
class Found:
    """One entry point: `name` is what people type, `target` is `module:attribute`, `distribution` who brings it."""

    name: str
    target: str
    distribution: str
    entry: metadata.EntryPoint

    @property
    def owner(self) -> str:
        """The distribution's name as PEP 503 normalises it."""
        return re.sub(r"[-_.]+", "-", self.distribution.rpartition(" ")[0]).lower()


class Providers:
    """The installed providers."""

    def __init__(self, found: Iterable[Found]) -> None:
        self._found = tuple(sorted(found, key=lambda each: (each.name, each.distribution)))

    @classmethod
    def installed(cls) -> "Providers":
        """Of two copies of one distribution the first on the path counts, for Python imports that one."""
        found: dict[str, list[Found]] = {}
        for distribution in metadata.distributions():
            if brought := _entries(distribution):
                found.setdefault(brought[0].owner, brought)
        return cls(each for brought in found.values() for each in brought)

    def __iter__(self) -> Iterator[Found]:
        return iter(self._found)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.name for each in self._found))

    def distributions(self, name: str) -> str:
        """Who brings it, with versions."""
        return " and ".join(each.distribution for each in self._found if each.name == name)

    def load(self, name: str) -> ProviderSpec[Any]:
        """Import one provider. Raises ConfigError: unknown (with those there are), claimed twice, or broken."""
        candidates = [each for each in self._found if each.name == name]
        match candidates:
            case []:
                raise self._unknown(name)
            case [only]:
                return _load(only)
            case _:
                raise ConfigError(
                    f"provider {name}: is brought by {self.distributions(name)}", hint="uninstall one of them"
                )

    def _unknown(self, name: str) -> ConfigError:
        near = difflib.get_close_matches(name, self.names, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        known = ", ".join(self.names) or "none"
        return ConfigError(
            f"provider {name}: there is no such provider{meant} (installed: {known})",
            hint="one that a package brings shows up once the package is installed beside certd; "
            "in a source checkout run pip install -e . again after its entry point was added",
        )


def _entries(distribution: metadata.Distribution) -> list[Found]:
    """What a distribution brings; nothing where its metadata cannot be read: somebody else's must not stop us."""
    try:
        entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
        text = f"{distribution.metadata['Name']} {distribution.version}" if entries else ""
    except Exception:  # noqa: BLE001 - importlib.metadata raises whatever its parsers do
        return []
    return [Found(entry.name, entry.value, text, entry) for entry in entries]


def _load(found: Found) -> ProviderSpec[Any]:
    origin = f"provider {found.name} ({found.target}, from {found.distribution})"
    try:
        spec = found.entry.load()
    except (Exception, SystemExit) as failure:  # a plugin's module may raise whatever it likes
        why = " ".join(f"{type(failure).__name__}: {failure}".split())[:_QUOTED]
        raise ConfigError(
            f"{origin}: cannot be loaded: {why}",
            hint="update or uninstall that package; other providers are not affected",
        ) from failure
    if not isinstance(spec, ProviderSpec):
        raise ConfigError(f"{origin}: is not a ProviderSpec but {type(spec).__name__}")
    if spec.api_version != API_VERSION:
        raise ConfigError(f"{origin}: is made for plugin API {spec.api_version}, this certd has {API_VERSION}")
    if spec.name != found.name:
        raise ConfigError(f"{origin}: calls itself {spec.name}")
    return spec
