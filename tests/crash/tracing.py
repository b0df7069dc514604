"""Writes down which steps a run of certd goes through, and each effect on the world that stands in none of them."""

import os
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from certd.ca.account import ONLY_EXISTING
from certd.ca.exchange import Exchange
from certd.ca.wire import POST_AS_GET
from certd.ledger.engine import Engine
from certd.model import steps

OUTSIDE = "outside a step: "

#: Python's own words (audit events) for what changes a directory, or starts a program.
EFFECTS = frozenset({"os.rename", "os.link", "os.symlink", "subprocess.Popen"})


def trace(path: str) -> None:
    """From now on, for this process: a line in *path* for each step that begins, and for each effect outside of one."""
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    open_steps: ContextVar[int] = ContextVar("open_steps", default=0)

    def write(line: str) -> None:
        os.write(record, f"{line}\n".encode())

    def trap(step: steps.Step, at: str) -> None:
        if at == "before":
            write(step.value)
        open_steps.set(open_steps.get() + (1 if at == "before" else -1))

    def effect(what: str) -> None:
        if not open_steps.get():
            write(f"{OUTSIDE}{what}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EFFECTS:
            effect(f"{event} {arguments[:2]}")

    steps.set_trap(trap)
    sys.addaudithook(hook)
    _told(Engine, "write", lambda _: effect("a write to the ledger"))
    _told(Exchange, "_post", lambda arguments: None if _asks_only(arguments) else effect(f"a request: {arguments[:2]}"))


def _asks_only(arguments: tuple[Any, ...]) -> bool:
    _, _, payload, *_ = arguments
    return payload in {POST_AS_GET, ONLY_EXISTING}


def _told(kind: type, name: str, tell: Callable[[tuple[Any, ...]], None]) -> None:
    real: Callable[..., Awaitable[Any]] = getattr(kind, name)

    @wraps(real)
    async def telling(self: Any, *arguments: Any, **more: Any) -> Any:
        tell(arguments)
        return await real(self, *arguments, **more)

    setattr(kind, name, telling)
