"""Tests talk to this machine only: what Python code connects to, sends to or looks up elsewhere is refused.

It sits in Python's audit events, so that a library's own sockets come past it too. Programs that a test starts do not;
those are configured to loopback by `tests/servers/`.
"""

import ipaddress
import sys
from typing import Any

NAMES = {"localhost", "ip6-localhost", ""}  # what may be looked up, beside *.localhost

refused: list[str] = []  # since it was last cleared: also what went down in a task that nobody looked at


class OffLoopback(BaseException):
    """Not an `Exception`: code under test that survives every error must not survive this one."""


def install() -> None:
    """For the rest of this process: an audit hook cannot be taken out."""
    sys.addaudithook(_watch)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    match event, arguments:
        case (("socket.connect" | "socket.sendto" | "socket.sendmsg"), (_, (str(host), *_))):
            allowed = _stays_here(host)
        case "socket.getaddrinfo", (str(host) | bytes(host), *_):
            host = host if isinstance(host, str) else host.decode(errors="replace")
            allowed = _is_address(host) or host in NAMES or host.endswith(".localhost")
        case _:
            return
    if not allowed:
        refused.append(f"{event} {host}")
        raise OffLoopback(refused[-1])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _stays_here(host: str) -> bool:
    if not _is_address(host):
        return host in NAMES
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback or address.is_unspecified  # the unspecified one means this machine
