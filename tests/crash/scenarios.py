"""What certd is killed in the midst of: each scenario a history before, one command, and how a person goes on after.

`steps` is what the command goes through when nothing happens to it; `test_every_step_is_a_fail_point` holds it to that.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from tests.crash.invariants import Goal
from tests.crash.runs import KILLED, Ended
from tests.crash.stumbles import dragged_on, not_proven, odd_chain
from tests.crash.world import NAME, ZONE, Way, World
from tests.hellca.faults import problem

Act = Callable[[World, Way], Awaitable[None]]
Arguments = Callable[[World, Way], Sequence[str]]

NEW_STATE = ("node-id-stored", "ledger-opened")
REGISTER = ("account-key-stored", "account-sent", "account-stored")
ORDER = ("intent-stored", "order-sent", "order-stored")
PROVE = ("proofs-journalled", "proofs-published", "challenges-answered", "validation-seen")
OF_PROVIDERS = ("withdrawal-fenced", "proofs-withdrawn")
WITHDRAW = (*OF_PROVIDERS, "withdrawal-stored")
FINALIZE = ("finalize-sent", *WITHDRAW)
DOWNLOAD = ("certificate-url-stored", "chain-downloaded")
STORE = ("generation-stored", "scopes-cleared")
INSTALL = ("files-staged", "files-renamed", "live-switched", "window-stored")
EXPORT = ("out-copied", "server-reloaded", "reload-stored")
FIRST_TIME = ("directory-cached", "files-pruned", "pruned")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`before` sets the stage, `again` brings it to its end after a death, `goal` is what must have come of it.

    `status`: the command's own, when it is left alone; where that is not 0, `again` is needed after it as well.
    `refused`: a step whose first time is refused by the CA, so that it never comes to its end. `invalid`: orders that
    the CA must make invalid. `retry`: the command that follows a death, where `command` is not simply repeated.
    `only`: the steps that it dies at here, where others have the rest.
    """

    name: str
    steps: tuple[str, ...]
    command: Arguments
    again: Act
    goal: Callable[[Way], Goal]
    before: Act
    ways: tuple[Way, ...] = tuple(Way)
    status: int = 0
    refused: str = ""
    invalid: int = 0
    retry: Arguments | None = None
    only: tuple[str, ...] = ()

    def steps_by(self, way: Way) -> tuple[str, ...]:
        """Those of providers are left out for listeners: their rows are the proofs."""
        return tuple(step for step in self.steps if way is Way.DNS or step not in OF_PROVIDERS)

    def deaths(self, way: Way) -> tuple[str, ...]:
        """Every fail-point: `STEP:before:kill`, `STEP:after:kill`, and `…:2` for the second time."""
        begun, done = list(self.steps_by(way)), list(self.steps_by(way))
        if self.refused:
            done.remove(self.refused)
        return tuple(
            f"{step}:{edge}:kill{_times(steps[: at + 1].count(step))}"
            for edge, steps in (("before", begun), ("after", done))
            for at, step in enumerate(steps)
            if not self.only or step in self.only
        )


def _times(count: int) -> str:
    return f":{count}" if count > 1 else ""


def wanted(way: Way, *, generations: int, orders: int, more: Sequence[str] = ()) -> Goal:
    return Goal(NAME, frozenset((*way.names, *more)), generations, orders)


def nobody_asked(way: Way) -> Goal:
    """No certificate, only an account."""
    return wanted(way, generations=0, orders=0)


async def nothing(w: World, way: Way) -> None:
    del w, way


async def well(w: World, *arguments: str) -> Ended:
    ended = await w.certd(*arguments)
    assert ended.status == 0, ended
    return ended


# certd issue


def issue(w: World, way: Way) -> Sequence[str]:
    return w.issue(way, "--out", str(w.out), "--reload", "true")


def unforced(w: World, way: Way) -> Sequence[str]:
    return w.issue(way)


def forced(w: World, way: Way) -> Sequence[str]:
    return w.issue(way, "--force")


async def issue_again(w: World, way: Way) -> None:
    w.hell.clear()
    await well(w, *issue(w, way))


async def issued(w: World, way: Way) -> None:
    await well(w, *w.issue(way))


async def renewed_again(w: World, way: Way) -> None:
    """A timer runs it without --force: what was begun goes on; where nothing was, the person asks once more."""
    w.hell.clear()
    await well(w, *w.issue(way))
    if len(w.hell.certificates) < 2:
        await well(w, *forced(w, way))


async def refused_and_renewed(w: World, way: Way) -> None:
    """If the CA has not refused it yet, it does now."""
    if w.seen().ca.failed:
        w.hell.clear()
    await w.certd(*w.issue(way))
    if len(w.hell.certificates) < 2:
        await w.certd(*forced(w, way))
    await renewed_again(w, way)


ISSUE = Scenario(
    name="issue",
    steps=(*NEW_STATE, *REGISTER, *ORDER, *PROVE, *FINALIZE, *DOWNLOAD, *STORE, *INSTALL, *EXPORT, *FIRST_TIME),
    before=nothing,
    command=issue,
    again=issue_again,
    goal=lambda way: wanted(way, generations=1, orders=1),
)
RENEW = Scenario(
    name="renew",
    steps=("ledger-opened", *ORDER, *PROVE, *FINALIZE, *DOWNLOAD, *STORE, *INSTALL),
    before=issued,
    command=forced,
    again=renewed_again,
    goal=lambda way: wanted(way, generations=2, orders=2),
    retry=unforced,
)


# What goes wrong at the CA, and is right the next time


async def one_name_fails(w: World, way: Way) -> None:
    await issued(w, way)
    w.hell.fault("challenge", not_proven(w.hell))
    w.hell.fault("challenge", dragged_on())


async def key_is_refused(w: World, way: Way) -> None:
    await issued(w, way)
    w.hell.fault("finalize", problem("badCSR", detail="not that key"))


async def chain_is_odd(w: World, way: Way) -> None:
    await issued(w, way)
    w.hell.fault("certificate", odd_chain(), times=2)


REFUSED = Scenario(
    name="refused",
    steps=("ledger-opened", *ORDER, *PROVE, "failure-stored", "authorization-ended", *WITHDRAW),
    before=one_name_fails,
    command=forced,
    again=refused_and_renewed,
    goal=lambda way: wanted(way, generations=2, orders=3),
    status=1,
    invalid=1,
    retry=unforced,
)
NEW_KEY = Scenario(
    name="new-key",
    steps=(
        *("ledger-opened", *ORDER, *PROVE, "finalize-sent", "intent-stored"),
        *(*FINALIZE, *DOWNLOAD, *STORE, *INSTALL),
    ),
    before=key_is_refused,
    command=forced,
    again=renewed_again,
    goal=lambda way: wanted(way, generations=2, orders=2),
    retry=unforced,
    refused="finalize-sent",
)
QUARANTINE = Scenario(
    name="quarantine",
    steps=(
        *("ledger-opened", *ORDER, *PROVE, *FINALIZE, *DOWNLOAD),
        *("chain-downloaded", "chain-kept", "chain-quarantined"),
    ),
    before=chain_is_odd,
    command=forced,
    again=renewed_again,
    goal=lambda way: wanted(way, generations=2, orders=2),
    retry=unforced,
    status=1,
)


# Other names are wanted while an order is open

MAIL = f"mail.{ZONE}"


async def half_way(w: World, way: Way) -> None:
    killed = await w.certd(*w.issue(way), point="proofs-published:after:kill")
    assert killed.status == KILLED, killed


def with_mail(w: World, way: Way) -> Sequence[str]:
    return w.issue(way, names=(*way.names, MAIL))


async def with_mail_again(w: World, way: Way) -> None:
    await well(w, *with_mail(w, way))


CHANGE = Scenario(
    name="change",
    steps=(
        *("ledger-opened", "authorization-ended", "failure-stored", *WITHDRAW),
        *(*ORDER, *PROVE, *FINALIZE, *DOWNLOAD, *STORE, *INSTALL, *FIRST_TIME),
    ),
    before=half_way,
    command=with_mail,
    again=with_mail_again,
    goal=lambda way: wanted(way, generations=1, orders=2, more=[MAIL]),
    invalid=1,
)


# What is old is forgotten

KEPT, OLD = 5, 6  # generations


async def grown_old(w: World, way: Way) -> None:
    for _ in range(OLD):
        await well(w, *forced(w, way))
    with closing(sqlite3.connect(w.state / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE generations SET not_after = not_before + 1 WHERE number < ?", [OLD])
    a_day_passes(w)


def a_day_passes(w: World) -> None:
    """Since it was last looked at what is old."""
    with closing(sqlite3.connect(w.state / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("DELETE FROM meta WHERE key = 'pruned-at'")


async def forgotten_again(w: World, way: Way) -> None:
    while len(w.hell.certificates) < OLD + 2:
        a_day_passes(w)
        await well(w, *forced(w, way))


FORGET = Scenario(
    name="forget",
    steps=("ledger-opened", *ORDER, *PROVE, *FINALIZE, *DOWNLOAD, *STORE, *INSTALL, "files-pruned", "pruned"),
    before=grown_old,
    command=forced,
    again=forgotten_again,
    goal=lambda way: replace(wanted(way, generations=OLD + 2, orders=OLD + 2), pruned=OLD + 2 - KEPT),
    retry=unforced,
    ways=(Way.ALPN,),
    only=("files-pruned", "pruned"),
)


# certd account …, certd revoke


def account(w: World, verb: str, *more: str) -> Sequence[str]:
    server = ("--server", w.hell.directory_url, "--ca-bundle", str(w.hell.ca.root_path))
    return ("account", verb, *server, "--state-dir", str(w.state), *more)


def register(w: World, way: Way) -> Sequence[str]:
    del way
    return account(w, "register", "-m", "ops@example.test", "--agree-tos")


def update(w: World, way: Way) -> Sequence[str]:
    del way
    return account(w, "update", "-m", "new@example.test")


def roll_over(w: World, way: Way) -> Sequence[str]:
    del way
    return account(w, "rollover")


def deactivate(w: World, way: Way) -> Sequence[str]:
    del way
    return account(w, "deactivate", "--yes")


def revoke(w: World, way: Way) -> Sequence[str]:
    del way
    return ("revoke", NAME, "--ca-bundle", str(w.hell.ca.root_path), "--state-dir", str(w.state))


async def registered(w: World, way: Way) -> None:
    await well(w, *register(w, way))


async def updated_again(w: World, way: Way) -> None:
    await well(w, *update(w, way))
    assert [each.contact for each in w.hell.accounts] == [("mailto:new@example.test",)]


async def rolled_over_again(w: World, way: Way) -> None:
    await well(w, *roll_over(w, way))
    assert w.hell.count("key-change") > 0
    await well(w, *update(w, way))


async def deactivated_again(w: World, way: Way) -> None:
    await well(w, *deactivate(w, way))
    assert [each.status.value for each in w.hell.accounts] == ["deactivated"]


async def revoked_again(w: World, way: Way) -> None:
    await well(w, *revoke(w, way))
    assert all(each.revoked_at is not None for each in w.hell.certificates)


ONCE = (Way.HTTP,)  # nothing is proven here
ACCOUNTS_AND_REVOCATION = (
    Scenario(
        name="register",
        steps=(*NEW_STATE, *REGISTER, "directory-cached"),
        before=nothing,
        command=register,
        again=registered,
        goal=nobody_asked,
        ways=ONCE,
    ),
    Scenario(
        name="update",
        steps=("ledger-opened", "account-change-sent", "account-changed"),
        before=registered,
        command=update,
        again=updated_again,
        goal=nobody_asked,
        ways=ONCE,
    ),
    Scenario(
        name="rollover",
        steps=("ledger-opened", "rollover-key-stored", "rollover-sent", "rollover-stored"),
        before=registered,
        command=roll_over,
        again=rolled_over_again,
        goal=nobody_asked,
        ways=ONCE,
    ),
    Scenario(
        name="deactivate",
        steps=("ledger-opened", "account-change-sent", "account-changed"),
        before=registered,
        command=deactivate,
        again=deactivated_again,
        goal=lambda way: replace(nobody_asked(way), accounts=0),
        ways=ONCE,
    ),
    Scenario(
        name="revoke",
        steps=("ledger-opened", "revocation-sent", "revocation-stored"),
        before=issued,
        command=revoke,
        again=revoked_again,
        goal=lambda way: wanted(way, generations=1, orders=1),
        ways=ONCE,
    ),
)

ISSUANCE = (ISSUE, RENEW, REFUSED, NEW_KEY, QUARANTINE, CHANGE)
ALL = (*ISSUANCE, FORGET, *ACCOUNTS_AND_REVOCATION)
