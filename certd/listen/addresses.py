"""Where to listen, as people write it: `HOST:PORT`, `[::1]:80`, `:80`, `localhost:80`, `fd:3`. Pure.

Names other than `localhost` are refused on purpose: a listener whose address depends on a resolver can move, or fail,
at each start.
"""

import ipaddress
import re
from dataclasses import dataclass

from certd.model.errors import ConfigError

_HOST_PORT = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})", re.ASCII)
_FD = re.compile(r"fd:(?P<fd>[0-9]{1,6})", re.ASCII)
_HIGHEST_PORT = 65535
_FORMS = "write an address and a port, as in 127.0.0.1:80, [::1]:80 or :80 (every address), or fd:3 for a passed socket"


@dataclass(frozen=True, slots=True)
class Bind:
    """An address to bind. `host`: an address, `localhost` (both loopbacks), or empty for every address there is.

    `port` 0 lets the kernel choose.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Passed:
    """A socket that whoever started us has bound: its file descriptor."""

    fd: int

    def __str__(self) -> str:
        return f"fd:{self.fd}"


Address = Bind | Passed


@dataclass(frozen=True, slots=True)
class BoundAddress:
    """Where a listener really is; `host` is an address without brackets, `port` never 0."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read what `--http-address` and `--tls-address` take. Raises ConfigError, naming *text*."""
    stripped = text.strip()
    if passed := _FD.fullmatch(stripped):
        return Passed(int(passed["fd"]))
    found = _HOST_PORT.fullmatch(stripped)
    if found is None:
        raise ConfigError(f"{text!r} is not an address to listen on", hint=_FORMS)
    port = int(found["port"])
    if port > _HIGHEST_PORT:
        raise ConfigError(f"{text!r}: {port} is not a port: the highest is {_HIGHEST_PORT}")
    return Bind(_host(text, found["six"], found["host"]), port)


def _host(text: str, six: str | None, host: str | None) -> str:
    if six is None and host in {"", "*"}:
        return ""
    if six is None and host == "localhost":
        return "localhost"
    try:
        return str(ipaddress.IPv6Address(six) if six is not None else ipaddress.IPv4Address(host or ""))
    except ValueError:
        raise ConfigError(f"{text!r} is not an address to listen on", hint=_FORMS) from None
