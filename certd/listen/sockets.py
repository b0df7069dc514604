"""Listening sockets: bound by us, or passed to us by systemd or whoever else started us.

Sockets made here are non-blocking and close on exec: a provider's program or a reload command must never inherit
port 80. SO_REUSEPORT is never set: it would let certd and another process of the same user share the port silently,
each seeing half of the validation requests.
"""

import errno
import os
import socket
import stat
from collections.abc import MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass

from certd.listen.addresses import Address, Bind, BoundAddress, Passed
from certd.model.errors import ListenError

BACKLOG = 512  # a hundred names of one order, looked at from five places at once
FIRST_PASSED_FD = 3  # SD_LISTEN_FDS_START
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
_TLS_PORTS = frozenset({443, 8443})


@dataclass(frozen=True, slots=True)
class Activated:
    """The sockets that systemd passed, by what they are for."""

    http: tuple[Passed, ...] = ()
    tls: tuple[Passed, ...] = ()


def open_sockets(address: Address) -> list[socket.socket]:
    """Listening sockets for *address*: one, or two for `localhost`. The caller closes them.

    Raises OSError as the kernel says it (`certd.listen.refusals` makes a sentence of it), ListenError for a passed
    descriptor that is no TCP listener.
    """
    match address:
        case Passed(fd):
            return [_adopt(fd)]
        case Bind("", port):
            return [_everywhere(port)]
        case Bind("localhost", port):
            return _loopbacks(port)
        case Bind(host, port):
            return [_bind(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)]


def bound_address(listener: socket.socket) -> BoundAddress:
    """Where *listener* is, with the port that the kernel chose."""
    name = listener.getsockname()
    return BoundAddress(name[0], name[1])


def take_activated(environ: MutableMapping[str, str], pid: int, first: int = FIRST_PASSED_FD) -> Activated:
    """The sockets that systemd passed to process *pid*; taken out of *environ*, lest a child think them its own.

    `FileDescriptorName=http` and `=tls` say which is which. Sockets with other names go by their port (443: tls), or,
    if that says nothing, by order: the first is http, the second tls. Raises ListenError.
    """
    count, names = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_FDNAMES", "").split(":")
    if environ.pop("LISTEN_PID", "") != str(pid) or not count.isdecimal():
        return Activated()
    found: dict[str, list[Passed]] = {"http": [], "tls": []}
    for index in range(int(count)):
        passed = Passed(first + index)
        with _adopt(passed.fd) as listener:  # also: no child inherits it from now on
            port = bound_address(listener).port
        name = names[index] if index < len(names) else ""
        found[name if name in found else use_by_port(passed, port, index)].append(passed)
    return Activated(tuple(found["http"]), tuple(found["tls"]))


def use_by_port(passed: Passed, port: int, index: int) -> str:
    """`http` or `tls`, for a socket without a name. Raises ListenError where nothing tells."""
    if port in _TLS_PORTS:
        return "tls"
    if port == 80 or index == 0:
        return "http"
    if index == 1:
        return "tls"
    raise ListenError(
        f"{passed}: systemd passed this socket (port {port}), and nothing says what it is for",
        hint="give its socket unit FileDescriptorName=http or FileDescriptorName=tls",
    )


def _adopt(fd: int) -> socket.socket:
    """A listening socket on a duplicate of *fd*: the original stays open, so that the address can be opened again."""
    try:
        is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError as why:
        raise ListenError(f"fd:{fd}: no such descriptor was passed to certd: {os.strerror(why.errno or 0)}") from why
    if not is_socket:
        raise ListenError(f"fd:{fd}: the descriptor that was passed is not a socket")
    os.set_inheritable(fd, False)
    listener = socket.socket(fileno=os.dup(fd))
    try:
        if listener.family not in {socket.AF_INET, socket.AF_INET6} or listener.type != socket.SOCK_STREAM:
            raise ListenError(f"fd:{fd}: the socket that was passed is not a TCP socket")  # noqa: TRY301 - closed below
        listener.setblocking(False)
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            _listen_on_passed(listener, fd)
    except BaseException:
        listener.close()
        raise
    return listener


def _listen_on_passed(listener: socket.socket, fd: int) -> None:
    try:
        listener.listen(BACKLOG)
    except OSError as why:
        raise ListenError(
            f"fd:{fd}: the socket that was passed cannot listen: {os.strerror(why.errno or 0)}",
            hint="with systemd, Accept=no is needed: certd takes the listening socket, not one connection",
        ) from why


def _everywhere(port: int) -> socket.socket:
    """One dual-stack socket, or IPv4 alone on a host without IPv6.

    One socket and not two: the kernel then refuses whoever holds the port in either family, and port 0 is one port.
    """
    try:
        return _bind(socket.AF_INET6, "::", port, dual_stack=True)
    except OSError as why:
        if why.errno not in _NO_IPV6:
            raise
    return _bind(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - `:80` asks for every address


def _loopbacks(port: int) -> list[socket.socket]:
    with ExitStack() as opened:
        first = opened.enter_context(_bind(socket.AF_INET, "127.0.0.1", port))
        listeners = [first]
        try:
            listeners.append(opened.enter_context(_bind(socket.AF_INET6, "::1", bound_address(first).port)))
        except OSError as why:
            if why.errno not in _NO_IPV6:
                raise
        opened.pop_all()
        return listeners


def _bind(family: socket.AddressFamily, host: str, port: int, *, dual_stack: bool = False) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        # TIME_WAIT left by an earlier run must not hold the port; Linux still refuses two listeners.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual_stack))
        listener.bind(_socket_address(family, host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _socket_address(family: socket.AddressFamily, host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if family == socket.AF_INET:
        return host, port
    address, _, zone = host.partition("%")
    return address, port, 0, socket.if_nametoindex(zone) if zone else 0
