"""`certd issue --dry-run`: ports, provider, CA, account options and profile are tried; nothing is ordered or changed.

It works in a house that is thrown away, with no key of the real one in it, and takes no lock: it waits for nobody.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from certd.account.ensure import check_terms
from certd.app.account import account_wish
from certd.app.ca_clock import skew_note, trusted_skew
from certd.app.dev import reachable
from certd.app.export import check_out
from certd.app.house import open_house
from certd.app.methods import open_methods
from certd.app.place import Place
from certd.app.request import IssueRequest
from certd.app.result import CHECKED, IssueResult
from certd.app.why import why
from certd.app.wish import Wish
from certd.ca.directory import offered_profiles
from certd.files.state_dir import refuse_shared
from certd.issue.ports import Progress
from certd.ledger.file import open_to_read, storage_error
from certd.ledger.glance import glance
from certd.model.acme import Directory
from certd.model.clock import Clock, SystemClock
from certd.model.errors import ConfigError, StorageError
from certd.model.keys import KeyType


async def rehearse(request: IssueRequest, wish: Wish, progress: Progress, clock: Clock | None = None) -> IssueResult:
    """What `certd issue` would do, as far as that can be known without doing it. Raises what it would raise."""
    clock, desired = clock or SystemClock(), wish.desired
    check_place(request.state_dir, "the state directory")
    if request.state_dir.is_dir():
        refuse_shared(request.state_dir)
    _check_copies(request.out.directory, wish)
    _check_command(wish.reload)
    real = Place(request.state_dir)
    seen = glance(real.ledger, desired.name)
    generation, renewal = (seen.generation, seen.renewal) if seen is not None else (None, None)
    notes: list[str] = []
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="certd-dry-run-"))
        house = await stack.enter_async_context(open_house(Path(folder), wait=request.wait, clock=clock))
        methods = await open_methods(wish.challenge, wish.allowed, house, stack, progress)
        issuer = await stack.enter_async_context(reachable(wish.issuer, house.place, wish.challenge, methods.listeners))
        wanted = account_wish(house, issuer, request.account)
        key = await house.keys.open(await house.keys.generate(KeyType.EC256))
        ca = await stack.enter_async_context(house.converse(issuer, key, None))
        directory = await ca.directory()
        if not _has_account(real, issuer.id):
            check_terms(directory, wanted)
        check_profile(directory, wish)
        skew = trusted_skew(ca.clock_skew)
        if skew:
            notes.append(skew_note(issuer.title, skew))
    finding = why(desired, generation, renewal, clock.now() + skew, force=request.force)
    return IssueResult(
        status=CHECKED,
        name=desired.name,
        issuer=issuer.title,
        names=tuple(map(str, desired.identifiers)),
        now=clock.now(),
        finding=finding.message if finding is not None else "",
        generation=generation,
        renewal=renewal,
        notes=tuple(notes),
    )


def check_place(directory: Path, what: str) -> None:
    """Whether *directory* could be made or written to, without doing either. Raises StorageError."""
    try:
        nearest = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    except OSError as error:
        raise StorageError(f"{directory}: cannot look at {what}: {(error.strerror or str(error)).lower()}") from error
    if not nearest.is_dir():
        raise StorageError(f"{directory}: {nearest} is not a directory")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StorageError(
            f"{directory}: {what} cannot be written to by user id {os.geteuid()}",
            hint="run certd as the user that may, or give another directory",
        )


def check_profile(directory: Directory, wish: Wish) -> None:
    """A profile that the CA does not advertise is not asked for ("clients SHOULD NOT", draft-ietf-acme-profiles)."""
    profile = wish.desired.profile
    if profile and profile not in (directory.profiles or {}):
        raise ConfigError(
            f"{wish.desired.name}: profile {profile!r}: {wish.issuer.title} offers {offered_profiles(directory)}",
            hint="--profile takes one of these; without it the CA chooses",
        )


def _check_copies(out: Path | None, wish: Wish) -> None:
    if out is None:
        return
    check_place(out, "the directory for copies")
    if out.is_dir():
        check_out(out, wish.access)


def _check_command(argv: Sequence[str]) -> None:
    if argv and shutil.which(argv[0]) is None:
        raise ConfigError(f"--reload: {argv[0]}: there is no such program, or it is not executable")


def _has_account(place: Place, issuer: str) -> bool:
    if not place.has_ledger():
        return False
    try:
        connection = open_to_read(place.ledger)
        if connection is None:
            return False
        try:
            return (
                connection.execute("SELECT 1 FROM accounts WHERE issuer = ? LIMIT 1", (issuer,)).fetchone() is not None
            )
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise storage_error(place.ledger, error) from error
