"""Opening a provider: its options become its dataclass, secrets resolved, for as long as it is in use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from certd.api import DnsProvider, ProviderSpec, Tools
from certd.plugins.options import Chosen, build


@asynccontextmanager
async def open_provider(spec: ProviderSpec[Any], chosen: Chosen, tools: Tools) -> AsyncIterator[DnsProvider]:
    """The provider, ready to publish and withdraw. Raises ConfigError for options or secrets that do not serve."""
    options = await asyncio.to_thread(build, spec, chosen, tools.secret)
    async with spec.open(options, tools) as provider:
        yield provider
