"""Connections of strangers to one listener: how many at once, for how long, and how each is ended.

A visitor costs memory and a descriptor, so both are capped. At the cap the connection that has waited longest makes
room: a validator needs milliseconds, so whoever sits at the old end of the queue is most likely holding it shut
(slowloris), and refusing the newcomer instead would let them stop every validation.
"""

import asyncio
import logging
import resource
from contextlib import suppress
from datetime import datetime, timedelta
from typing import cast

from certd.model.clock import Clock, deadline

log = logging.getLogger("certd.listen")

PATIENCE = timedelta(seconds=5)  #: to ask; and once more, after the answer, to hang up
GRACE = timedelta(seconds=1)
MOST = 1000
_SHARE = 4  # of the descriptors this process may open: the ledger and the CA need theirs
_MOST_AFTERWARDS = 65536

Peer = tuple[str, int]


def most_visitors() -> int:
    """The cap for one listener under this process's limit of open files."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft // _SHARE))


class Visitors:
    """All connections of one kind of listener. `sweep` runs as long as it listens, `end` comes last."""

    def __init__(self, clock: Clock, *, most: int | None = None, patience: timedelta = PATIENCE) -> None:
        self._clock = clock
        self._most = most_visitors() if most is None else most
        self._patience = patience
        self._until: dict[Visitor, datetime] = {}  # in the order of their ends, as all are given the same time
        self._open = 0
        self._ended = False
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()

    def __len__(self) -> int:
        return len(self._until)

    def admit(self, visitor: "Visitor") -> None:
        """Count *visitor* in; the one that has waited longest makes room if need be."""
        self._open += 1
        self._none.clear()
        if self._ended:  # accepted by the kernel before the listener was closed
            visitor.drop()
            return
        if len(self._until) >= self._most:
            eldest = next(iter(self._until))
            del self._until[eldest]
            eldest.drop()
            log.debug("visitor dropped to make room", extra={"most": self._most})
        self._until[visitor] = self._clock.now() + self._patience
        self._some.set()

    def renew(self, visitor: "Visitor") -> None:
        """Give *visitor*, who has been answered, time to hang up."""
        if self._until.pop(visitor, None) is not None:
            self._until[visitor] = self._clock.now() + self._patience

    def gone(self, visitor: "Visitor") -> None:
        """Count *visitor* out: its connection is closed."""
        self._until.pop(visitor, None)
        if not self._until:
            self._some.clear()
        self._open -= 1
        if not self._open:
            self._none.set()

    async def sweep(self) -> None:
        """Drop whoever has overstayed, until cancelled."""
        while True:
            await self._some.wait()
            # It may have left between the event and this line.
            await self._clock.sleep_until(next(iter(self._until.values()), self._clock.now()))
            now = self._clock.now()
            for visitor in [visitor for visitor, until in self._until.items() if until <= now]:
                visitor.drop()
                del self._until[visitor]
            if not self._until:
                self._some.clear()

    async def end(self) -> None:
        """Close every connection; answers on their way out, and handshakes, get GRACE. Nothing is open afterwards."""
        self._ended = True
        try:
            for visitor in tuple(self._until):
                visitor.leave()
            if self._open:
                with suppress(TimeoutError):
                    async with deadline(self._clock, GRACE):
                        await self._none.wait()
        finally:
            for visitor in tuple(self._until):
                visitor.drop()
        await self._none.wait()


class Visitor(asyncio.Protocol):
    """One connection. Subclasses say in `received` what to do with its bytes, and end it with `farewell`."""

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors
        self._transport: asyncio.Transport | None = None
        self.answered = False
        self._afterwards = 0
        self.peer: Peer = ("", 0)

    def received(self, data: bytes) -> None:
        """Take bytes that came before `farewell`."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if (name := transport.get_extra_info("peername")) is not None:
            self.peer = (name[0], name[1])
        self._visitors.admit(self)

    def data_received(self, data: bytes) -> None:
        if not self.answered:
            self.received(data)
            return
        self._afterwards += len(data)
        if self._afterwards > _MOST_AFTERWARDS:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature; all ends are alike
        self._visitors.gone(self)
        self._transport = None

    def send(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def farewell(self, data: bytes = b"") -> None:
        """Send the last bytes, say that they are the last, and wait for the visitor to hang up.

        Closing at once would answer bytes we have not read with a reset, which can overtake the answer and destroy
        it in the visitor's kernel (RFC 9112 §9.6); so what still comes is read and forgotten.
        """
        self.answered = True
        if self._transport is None or self._transport.is_closing():
            return
        self.send(data)
        with suppress(OSError):  # the visitor has hung up already, with all that it wanted
            self._transport.write_eof()
        self._visitors.renew(self)

    def leave(self) -> None:
        """Close once everything sent so far is out."""
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()
