"""The CAs of the suite behind one face: where they are, what was asked of them, what they made, how they forget."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tests.servers.bind import Bind
from tests.servers.made import Made

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a CA comes to look for proofs, and what it asks for names. Folder and ports outlive it."""

    folder: Path
    dns: Bind
    address: str
    http_port: int
    tls_port: int
    listen_port: int


@dataclass(frozen=True, slots=True)
class Binding:
    """An external account binding; `key` in base64url."""

    kid: str
    key: str = field(repr=False)


NO_BINDING = Binding("nobody", "A" * 43)


class Served(Protocol):
    @property
    def directory_url(self) -> str: ...
    @property
    def ca_bundle(self) -> Path: ...
    async def roots(self) -> list[str]:
        """Of what it issues, PEM; the default chain's first."""
        ...

    async def is_revoked(self, serial: int) -> bool: ...
    async def new_binding(self) -> Binding:
        """One that it takes; some CAs take each of them once."""
        ...

    async def wipe(self) -> None:
        """Forget all that it ever made, and go on at the same URL."""
        ...

    def requests(self) -> Counter[str]:
        """How many for each resource, by RFC 8555's names, since it started."""
        ...

    def made(self) -> Made: ...
    def replaced(self) -> int:
        """How many of its certificates were replaced by an order that said so (RFC 9773 §5)."""
        ...


class Start(Generic[T]):
    """What *start* makes in a new folder; `again` ends it and makes it anew."""

    def __init__(self, parent: Path, start: Callable[[Path], AbstractAsyncContextManager[T]]) -> None:
        self._parent, self._start, self._count = parent, start, 0
        self._stack = AsyncExitStack()
        self._now: T | None = None

    @property
    def now(self) -> T:
        assert self._now is not None
        return self._now

    async def again(self) -> None:
        await self._stack.aclose()
        self._count += 1
        folder = self._parent / str(self._count)
        folder.mkdir()
        self._now = await self._stack.enter_async_context(self._start(folder))

    async def __aenter__(self) -> "Start[T]":
        await self.again()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
