"""The persisted steps of the program, and the trap that can kill the process at each (reliability 4.1, H3).

Each effect that a crash may cut in two names its step here and runs inside `step(Step.X)`. A test asserts that every
member is used and kills the process before and after each one. Without CERTD_FP in the environment a step costs one
attribute look-up.
"""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum


class Step(Enum):
    """Named by what is done once the step is over."""

    NODE_ID_STORED = "node-id-stored"
    LEDGER_OPENED = "ledger-opened"
    ACCOUNT_KEY_STORED = "account-key-stored"
    ACCOUNT_SENT = "account-sent"
    ACCOUNT_STORED = "account-stored"
    DIRECTORY_CACHED = "directory-cached"
    INTENT_STORED = "intent-stored"
    ORDER_SENT = "order-sent"
    ORDER_STORED = "order-stored"
    PROOFS_JOURNALLED = "proofs-journalled"
    PROOFS_PUBLISHED = "proofs-published"
    CHALLENGES_ANSWERED = "challenges-answered"
    VALIDATION_SEEN = "validation-seen"
    FINALIZE_SENT = "finalize-sent"
    CERTIFICATE_URL_STORED = "certificate-url-stored"
    CHAIN_DOWNLOADED = "chain-downloaded"
    CHAIN_KEPT = "chain-kept"
    CHAIN_QUARANTINED = "chain-quarantined"
    GENERATION_STORED = "generation-stored"
    SCOPES_CLEARED = "scopes-cleared"
    FILES_STAGED = "files-staged"
    FILES_RENAMED = "files-renamed"
    LIVE_SWITCHED = "live-switched"
    OUT_COPIED = "out-copied"
    SERVER_RELOADED = "server-reloaded"
    RELOAD_STORED = "reload-stored"
    WITHDRAWAL_FENCED = "withdrawal-fenced"
    PROOFS_WITHDRAWN = "proofs-withdrawn"
    WITHDRAWAL_STORED = "withdrawal-stored"
    FAILURE_STORED = "failure-stored"
    AUTHORIZATION_ENDED = "authorization-ended"
    WINDOW_STORED = "window-stored"
    ROLLOVER_KEY_STORED = "rollover-key-stored"
    ROLLOVER_SENT = "rollover-sent"
    ROLLOVER_STORED = "rollover-stored"
    ACCOUNT_CHANGE_SENT = "account-change-sent"
    ACCOUNT_CHANGED = "account-changed"
    REVOCATION_SENT = "revocation-sent"
    REVOCATION_STORED = "revocation-stored"
    FILES_PRUNED = "files-pruned"
    PRUNED = "pruned"


Trap = Callable[[Step, str], None]


def trap_from_environment(value: str) -> Trap:
    """Parse CERTD_FP: `STEP:before|after:kill`; other effects are `term`, `int` and `fail`; `…:2` is the second time.

    >>> trap_from_environment("order-sent:before:kill")  # doctest: +ELLIPSIS
    <function ...>
    """
    name, edge, effect, *times = value.split(":")
    wanted, left = Step(name), itertools.count(int(times[0]) if times else 1, -1)

    def trap(step: Step, at: str) -> None:
        if step is not wanted or at != edge or next(left) != 1:
            return
        match effect:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "term":
                os.kill(os.getpid(), signal.SIGTERM)
            case "int":
                os.kill(os.getpid(), signal.SIGINT)
            case _:
                raise OSError(f"fail-point {value}")

    return trap


_trap: Trap | None = trap_from_environment(os.environ["CERTD_FP"]) if os.environ.get("CERTD_FP") else None


def set_trap(trap: Trap | None) -> None:
    """For tests in process: see each step's edges, or raise in them."""
    global _trap  # noqa: PLW0603 - the one switch of the fail-points; there is no caller that could carry it
    _trap = trap


@contextmanager
def step(which: Step) -> Iterator[None]:
    """Mark the block as the effect that makes *which* true."""
    if _trap is not None:
        _trap(which, "before")
    yield
    if _trap is not None:
        _trap(which, "after")
