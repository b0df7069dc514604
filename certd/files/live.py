"""`live/<name>`: the link to the newest generation's directory, moved only by issuing and never back (invariant 2).

A reader that opens `live/<name>` once as a directory and reads the files in it through that descriptor, or reads
`bundle.pem`, never sees a mixed pair. The link is relative, so that the state directory can be moved.
"""

import os
import re
import stat
from pathlib import Path

from certd.files.access import PRIVATE, Access
from certd.files.faults import told
from certd.files.writing import exists, opened, opened_or_made, sweep, swept_on_error
from certd.model.errors import StorageError
from certd.model.identifiers import CertName, file_name
from certd.model.steps import Step, step

GENERATIONS = "generations"
LIVE = "live"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def parse_number(text: str) -> int | None:
    """The number of a generation's directory; None for anything else in its place."""
    return int(text) if _NUMBER.fullmatch(text) else None


def live_number(root: Path, name: CertName) -> int | None:
    """Which generation `live/<name>` shows, there or not; None without a link. StorageError for foreign things."""
    component = file_name(name)
    path = root / LIVE / component
    with told(path, "read the link"):
        try:
            with opened(root / LIVE) as live:
                return _number(component, live, path)
        except FileNotFoundError:
            return None


def switch_live(root: Path, name: CertName, number: int, access: Access = PRIVATE) -> int:
    """Let `live/<name>` show generation *number*, durably and in one step; returns the number it shows then.

    Safe to repeat. A link to a newer generation whose files are there stays: that number is returned. Raises
    StorageError where a file, a directory or a link of somebody else's stands in the place of the link.
    """
    component = file_name(name)
    path = root / LIVE / component
    with (
        told(path, "switch the link"),
        opened(root) as top,
        opened_or_made(LIVE, at=top, access=access) as (live, _),
    ):
        shown = _number(component, live, path)
        if shown is not None and shown > number and _is_whole(component, shown, live):
            return shown
        with step(Step.LIVE_SWITCHED):
            if shown != number:
                _replace(component, _target(component, number), live)
            os.fsync(live)  # also when it was switched before: that run may have died here
    return number


def _target(component: str, number: int) -> str:
    return f"../{GENERATIONS}/{component}/{number}"


def _number(component: str, live: int, path: Path) -> int | None:
    try:
        what = os.stat(component, dir_fd=live, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(what.st_mode):
        target = os.readlink(component, dir_fd=live)
        number = parse_number(target.rpartition("/")[2])
        if number is not None and target == _target(component, number):
            return number
        raise StorageError(
            f"{path}: it is a link to {target!r}, which certd did not make",
            hint="move it away, then run the same command again: the certificate is kept and will be linked",
        )
    kind = "directory" if stat.S_ISDIR(what.st_mode) else "file"
    raise StorageError(
        f"{path}: a {kind} stands where certd's link should be",
        hint="move it away, then run the same command again: the certificate is kept and will be linked",
    )


def _is_whole(component: str, number: int, live: int) -> bool:
    try:
        with opened(_target(component, number), at=live) as directory:
            return exists("fullchain.pem", at=directory)
    except OSError:
        return False


def _replace(component: str, target: str, live: int) -> None:
    staged = f".{component}.new"
    with swept_on_error(staged, at=live):
        try:
            os.symlink(target, staged, dir_fd=live)
        except FileExistsError:  # an earlier try has died
            sweep(staged, at=live)
            os.symlink(target, staged, dir_fd=live)
        os.rename(staged, component, src_dir_fd=live, dst_dir_fd=live)
