"""Listening as one resource: `open_listeners` binds, serves, says where, and leaves nothing behind."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from certd.listen.addresses import Address, Bind, BoundAddress
from certd.listen.alpn import tls_visitors
from certd.listen.alpn_certificate import AlpnContexts
from certd.listen.http01 import http_visitors
from certd.listen.refusals import explain
from certd.listen.selfcheck import check_http_01, plain
from certd.listen.sockets import BACKLOG, bound_address, open_sockets
from certd.listen.visitors import Peer, Visitors
from certd.model.acme import ChallengeType
from certd.model.clock import Clock
from certd.model.errors import ListenError
from certd.model.proofs import Proof, ProofLookup

log = logging.getLogger("certd.listen")

MakeProtocol = Callable[[], asyncio.BaseProtocol]


class Listeners:
    """What listens: the bound addresses by challenge type. Made by `open_listeners`."""

    def __init__(self, clock: Clock) -> None:
        self.http: tuple[BoundAddress, ...] = ()
        self.tls: tuple[BoundAddress, ...] = ()
        self._clock = clock
        self._own: set[Peer] = set()

    async def check(self, proof: Proof) -> None:
        """Ask our own http-01 listeners for *proof*; `ProofLookup.asked` is not told of it. Raises ListenError."""
        for address in self.http:
            await check_http_01(address, proof, self._own_connection, self._clock)

    def is_own(self, peer: Peer) -> bool:
        """Whether a connection comes from `check`."""
        return bool(self._own) and (plain(peer[0]), peer[1]) in self._own

    @contextmanager
    def _own_connection(self, peer: Peer) -> Iterator[None]:
        known = (plain(peer[0]), peer[1])
        self._own.add(known)
        try:
            yield
        finally:
            self._own.discard(known)


@asynccontextmanager
async def open_listeners(
    lookup: ProofLookup,
    clock: Clock,
    *,
    http: Sequence[Address] | None = None,
    tls: Sequence[Address] | None = None,
) -> AsyncIterator[Listeners]:
    """Answer http-01 at the addresses *http* and tls-alpn-01 at *tls* until the block ends.

    All sockets are open, or none: raises ListenError, with who holds the port and what to do. At the end connections
    get a second to finish, and nothing listens or runs any more.
    """
    listeners = Listeners(clock)
    async with AsyncExitStack() as stack:
        http_sockets = await _open_all(stack, http or (), ChallengeType.HTTP_01)
        tls_sockets = await _open_all(stack, tls or (), ChallengeType.TLS_ALPN_01)
        listeners.http = tuple(map(bound_address, http_sockets))
        listeners.tls = tuple(map(bound_address, tls_sockets))
        if http_sockets:
            visitors = await stack.enter_async_context(_receiving(clock))
            await _serve(stack, http_sockets, http_visitors(visitors, lookup, clock, listeners.is_own))
        if tls_sockets:
            visitors = await stack.enter_async_context(_receiving(clock))
            await _serve(stack, tls_sockets, tls_visitors(visitors, lookup, AlpnContexts(clock)))
        log.debug("listening", extra={"http": _written(listeners.http), "tls": _written(listeners.tls)})
        yield listeners


def _written(addresses: Iterable[BoundAddress]) -> str:
    return " ".join(map(str, addresses))


async def _open_all(stack: AsyncExitStack, addresses: Iterable[Address], use: ChallengeType) -> list[socket.socket]:
    opened: list[socket.socket] = []
    for address in addresses:
        try:
            found = open_sockets(address)
        except OSError as why:
            if not isinstance(address, Bind):
                raise ListenError(f"{address}: cannot listen for {use.value}: {why.strerror}") from why
            # Looking at every process on the machine takes a moment.
            raise await asyncio.to_thread(explain, address, use, why) from why
        for listener in found:
            stack.callback(listener.close)
        opened += found
    return opened


@asynccontextmanager
async def _receiving(clock: Clock) -> AsyncIterator[Visitors]:
    """Visitors, with the task that shows out those who overstay; all are gone at the end."""
    visitors = Visitors(clock)
    sweeping = asyncio.create_task(visitors.sweep(), name="visitors")
    try:
        yield visitors
    finally:
        try:
            await visitors.end()
        finally:
            sweeping.cancel()
            await asyncio.wait({sweeping})
            if not sweeping.cancelled():
                sweeping.result()  # it never returns, so this raises what ended it


async def _serve(stack: AsyncExitStack, listening: Iterable[socket.socket], protocol: MakeProtocol) -> None:
    loop = asyncio.get_running_loop()
    for listener in listening:
        server = await loop.create_server(protocol, sock=listener, backlog=BACKLOG)
        stack.callback(server.close)
