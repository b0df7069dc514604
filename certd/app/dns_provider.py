"""Which DNS provider answers dns-01: chosen on the command line, or remembered by the journal."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from certd.api import ProviderSpec, Tools
from certd.app.dns_publisher import DnsPublisher
from certd.app.house import House
from certd.dns.settings import DnsSettings
from certd.issue.ports import Progress
from certd.plugins.discovery import Providers
from certd.plugins.options import Chosen, check, parse_pairs
from certd.secrets.references import canonical_reference


@dataclass(frozen=True, slots=True)
class ChosenProvider:
    """A DNS provider with its options, checked: everything that needs no network."""

    spec: ProviderSpec[Any]
    chosen: Chosen
    settings: DnsSettings

    def publisher(self, house: House, stack: AsyncExitStack, progress: Progress) -> DnsPublisher:
        """A way to publish by it; what that opens is closed with *stack*."""
        tools = Tools(clock=house.clock, random=house.random, secret=house.secret)
        return DnsPublisher(self.spec, self.chosen, tools=tools, settings=self.settings, stack=stack, progress=progress)


def choose(name: str, options: Sequence[str], settings: DnsSettings) -> ChosenProvider:
    """From `--dns` and `--dns-option`. Raises ConfigError with every mistake in the options."""
    spec = Providers.installed().load(name)
    return ChosenProvider(spec, check(spec, parse_pairs(options), canonical_reference), settings)


def remembered(name: str, options: str, settings: DnsSettings) -> ChosenProvider:
    """From the words of a journal row. Raises ConfigError when the provider is gone."""
    return ChosenProvider(Providers.installed().load(name), Chosen.from_json(name, options), settings)
