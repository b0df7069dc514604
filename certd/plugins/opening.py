"""Opening a provider: its options become its dataclass, secrets resolved, for as long as it is in use.

Whatever it raises beside certd's own errors is a mistake in it: such a one fails as any provider fails, says where it
happened, and shows nothing of the message, in which a token may stand.
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from certd.api import Dns01Proof, DnsProvider, ProviderError, ProviderSpec, Tools
from certd.model.errors import CertdError
from certd.plugins.options import Chosen, build


@asynccontextmanager
async def open_provider(spec: ProviderSpec[Any], chosen: Chosen, tools: Tools) -> AsyncIterator[DnsProvider]:
    """The provider, ready to publish and withdraw. Raises ConfigError for options or secrets that do not serve."""
    options = await asyncio.to_thread(build, spec, chosen, tools.secret)
    with _blamed_on(spec.name):
        opened = spec.open(options, tools)
        provider = await opened.__aenter__()
    try:
        yield _Blamed(spec.name, provider)
    finally:
        with _blamed_on(spec.name):
            await opened.__aexit__(None, None, None)


class _Blamed:
    """A provider whose errors are certd's."""

    def __init__(self, name: str, provider: DnsProvider) -> None:
        self._name = name
        self._provider = provider

    async def publish(self, proofs: frozenset[Dns01Proof]) -> None:
        with _blamed_on(self._name):
            await self._provider.publish(proofs)

    async def withdraw(self, proofs: frozenset[Dns01Proof]) -> None:
        with _blamed_on(self._name):
            await self._provider.withdraw(proofs)


@contextmanager
def _blamed_on(name: str) -> Iterator[None]:
    try:
        yield
    except CertdError:
        raise
    except ExceptionGroup as failures:
        own, strange = failures.split(CertdError)
        raise _one(list(_leaves(own))) if own and not strange else _mistake(name, failures) from failures
    except Exception as failure:
        raise _mistake(name, failure) from failure


def _one(failures: list[CertdError]) -> CertdError:
    """What a TaskGroup of the provider raised, as one."""
    if len(failures) == 1:
        return failures[0]
    retry = any(not isinstance(failure, ProviderError) or failure.retry for failure in failures)
    texts = dict.fromkeys(str(failure) for failure in failures)
    return ProviderError("\n".join(texts), retry=retry, hint=failures[0].hint)


def _mistake(name: str, failure: Exception) -> ProviderError:
    frame = traceback.extract_tb(failure.__traceback__)[-1]
    what = f"{type(failure).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    return ProviderError(
        f"provider {name}: failed by a mistake of its own: {what}",
        retry=True,
        hint="tell whoever maintains it; other providers are not affected",
    )


def _leaves(group: BaseExceptionGroup[CertdError]) -> Iterator[CertdError]:
    for failure in group.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure
