"""References to secrets, and what they stand for: `file:PATH`, `env:NAME`, `credential:NAME`.

A reference is text that may be shown, logged and journalled; it is resolved at the last moment, by whoever needs the
secret, perhaps another process than the one that was given the reference. Must never put a value, or text that might
be one, into an error: a person who forgot the reference has typed the secret itself (invariant 8).
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from certd.model.errors import ConfigError
from certd.model.secret import Resolve, Secret

LARGEST_SECRET = 64 * 1024

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CREDENTIAL = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]*", re.ASCII)
_CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
_FORMS = "file:PATH, env:NAME or credential:NAME"


class Scheme(Enum):
    FILE = "file"
    ENV = "env"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret stands. `place`: an absolute path, a variable's name, or a credential's name."""

    scheme: Scheme
    place: str

    def __str__(self) -> str:
        return f"{self.scheme.value}:{self.place}"


def parse_reference(text: str) -> Reference:
    """Read a reference; a relative path is made absolute, because it may be resolved from another directory.

    Raises ConfigError, which does not repeat *text*.
    """
    prefix, colon, place = text.partition(":")
    scheme = next((scheme for scheme in Scheme if colon and scheme.value == prefix), None)
    match scheme:
        case Scheme.FILE if place and "\0" not in place:
            return Reference(scheme, _absolute(place))
        case Scheme.ENV if _NAME.fullmatch(place):
            return Reference(scheme, place)
        case Scheme.CREDENTIAL if _CREDENTIAL.fullmatch(place):
            return Reference(scheme, place)
        case None:
            raise ConfigError(
                f"a secret is given by reference ({_FORMS}), not itself",
                hint="put it into a file that only certd can read, and give file:/path/to/it",
            )
        case _:
            raise ConfigError(f"after {scheme.value}: a name is missing or has characters that it cannot have")


def _absolute(place: str) -> str:
    try:
        return str(Path(place).expanduser().absolute())
    except RuntimeError:
        raise ConfigError("after file: there is a ~ of a user that this host does not have") from None


def canonical_reference(text: str) -> str:
    """`parse_reference`, and back to text."""
    return str(parse_reference(text))


def resolver(environ: Mapping[str, str]) -> Resolve:
    """The function that turns references into secrets; *environ* is `os.environ` outside of tests.

    It reads files, so call it in a thread from asyncio.
    """

    def resolve(text: str) -> Secret[str]:
        reference = parse_reference(text)
        match reference.scheme:
            case Scheme.FILE:
                return _from_file(reference, Path(reference.place))
            case Scheme.ENV:
                return _from_environment(reference, environ)
            case Scheme.CREDENTIAL:
                return _from_file(reference, _credentials(reference, environ) / reference.place)

    return resolve


def _from_environment(reference: Reference, environ: Mapping[str, str]) -> Secret[str]:
    value = environ.get(reference.place, "")
    if not value:
        raise ConfigError(f"{reference}: the variable is not set, or empty, in certd's environment")
    if any("\ud800" <= character <= "\udfff" for character in value):  # octets that Python could not decode
        raise ConfigError(f"{reference}: is not UTF-8 text")
    return Secret(value)


def _credentials(reference: Reference, environ: Mapping[str, str]) -> Path:
    directory = environ.get(_CREDENTIALS_DIRECTORY, "")
    if not directory:
        raise ConfigError(
            f"{reference}: there are no systemd credentials here ({_CREDENTIALS_DIRECTORY} is not set)",
            hint=f"add LoadCredential={reference.place}:/path/to/secret to the unit, or use file:/path/to/secret",
        )
    return Path(directory)


def _from_file(reference: Reference, path: Path) -> Secret[str]:
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would block for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            _check_status(reference, path, os.fstat(descriptor))
            content = file.read(LARGEST_SECRET + 1)
    except OSError as failure:
        raise ConfigError(f"{reference}: cannot be read: {(failure.strerror or str(failure)).lower()}") from failure
    if len(content) > LARGEST_SECRET:
        raise ConfigError(f"{reference}: more than {LARGEST_SECRET // 1024} KiB is no secret")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{reference}: is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ConfigError(f"{reference}: is empty")
    return Secret(text)


def _check_status(reference: Reference, path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{reference}: is not a regular file")
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        verb = "read" if status.st_mode & stat.S_IROTH else "write"
        raise ConfigError(
            f"{reference}: everybody on this host can {verb} it (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {path}",
        )
