"""Who may read what certd writes: owner, group and mode, decided once and applied before the first byte.

Private keys are 0600 and their directories 0700 unless something else is asked for; certificates are public and 0644
within those directories. A mode that lets a group read the key opens the directories to that group as well (0750).
"""

import grp
import os
import pwd
from dataclasses import dataclass

from certd.model.errors import ConfigError

CERTIFICATE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Access:
    """`owner`, `group`: numeric ids, None: whoever runs certd. `key_mode`: of privkey.pem and bundle.pem."""

    owner: int | None = None
    group: int | None = None
    key_mode: int = 0o600

    @property
    def directory_mode(self) -> int:
        """For directories that certd makes: who may read the key may also walk to it."""
        return 0o700 | (0o050 if self.key_mode & 0o040 else 0)

    def file_mode(self, *, is_secret: bool) -> int:
        return self.key_mode if is_secret else CERTIFICATE_MODE

    @property
    def changes_owner(self) -> bool:
        return self.owner is not None or self.group is not None


PRIVATE = Access()


def parse_access(owner: str = "", group: str = "", mode: str = "") -> Access:
    """Read names or numbers of a user and a group, and an octal mode for private keys; empty: the default.

    A group without a mode means 0640: who names a group wants it to read. Raises ConfigError.
    """
    group_id = _group_id(group) if group else None
    key_mode = _key_mode(mode) if mode else (0o640 if group else 0o600)
    return Access(_user_id(owner) if owner else None, group_id, key_mode)


def _user_id(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise ConfigError(f"{text!r} is not a user of this machine", hint="give a user's name or number") from None


def _group_id(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        raise ConfigError(f"{text!r} is not a group of this machine", hint="give a group's name or number") from None


def _key_mode(text: str) -> int:
    digits = text.removeprefix("0o")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 4 or set(digits) & {"8", "9"}:
        raise ConfigError(f"{text!r} is not an octal file mode", hint="as in 0640")
    mode = int(digits, 8)
    if mode & 0o007:
        raise ConfigError(
            f"mode {mode:04o} would let everybody on this machine at the private key",
            hint="use 0640 with the group of the server that reads it",
        )
    if not mode & 0o400 or mode & 0o7111:
        raise ConfigError(
            f"mode {mode:04o} is no mode for a private key", hint="0600, 0640 or 0660 (0400 and 0440 work too)"
        )
    return mode


def apply(access: Access, descriptor: int, mode: int) -> None:
    """Give an open file or directory its owner, group and mode, whatever the umask is. Raises OSError.

    The owner first: until the mode is set nobody but the maker can open it.
    """
    if access.changes_owner:
        os.fchown(
            descriptor, -1 if access.owner is None else access.owner, -1 if access.group is None else access.group
        )
    os.fchmod(descriptor, mode)
