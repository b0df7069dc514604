"""Listening sockets: bound, dual-stack, passed; never inherited by a child."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from certd.listen.addresses import Bind, Passed
from certd.listen.sockets import Activated, bound_address, open_sockets, take_activated, use_by_port
from certd.model.errors import ListenError
from tests.servers.requirement import ipv6, require


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def open_in(stack: ExitStack, address: Bind | Passed) -> list[socket.socket]:
    found = open_sockets(address)
    for listener in found:
        stack.enter_context(listener)
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "", "0.0.0.0"])
def test_port_0_becomes_a_port(opened: ExitStack, host: str) -> None:
    """And the socket is ready for asyncio and closed to children."""
    if ":" in host:
        require(ipv6())
    (listener,) = open_in(opened, Bind(host, 0))
    assert bound_address(listener).port > 0
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert not listener.getblocking()
    assert not listener.get_inheritable()


def test_every_address_means_both_families(opened: ExitStack) -> None:
    """`:80` takes IPv4 and IPv6: validators come by whichever the AAAA records say."""
    require(ipv6())
    (listener,) = open_in(opened, Bind("", 0))
    port = bound_address(listener).port
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as visitor:
            visitor.connect((host, port))


def test_an_ipv6_address_does_not_take_the_ipv4_port(opened: ExitStack) -> None:
    """`[::]:80` beside `0.0.0.0:80` must work."""
    require(ipv6())
    (six,) = open_in(opened, Bind("::", 0))
    open_in(opened, Bind("0.0.0.0", bound_address(six).port))


def test_localhost_is_both_loopbacks_on_one_port(opened: ExitStack) -> None:
    """`localhost` resolves to either."""
    require(ipv6())
    four, six = open_in(opened, Bind("localhost", 0))
    assert bound_address(four).host == "127.0.0.1"
    assert bound_address(six).host == "::1"
    assert bound_address(four).port == bound_address(six).port


def test_a_host_without_ipv6_is_served_over_ipv4(opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels with ipv6.disable=1 know no AF_INET6."""
    real = socket.socket

    def without_ipv6(family: int = -1, type_: int = -1) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, type_)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    assert [bound_address(listener).host for listener in open_in(opened, Bind("", 0))] == ["0.0.0.0"]
    assert [bound_address(listener).host for listener in open_in(opened, Bind("localhost", 0))] == ["127.0.0.1"]


@pytest.mark.parametrize("second", ["127.0.0.1", "", "0.0.0.0", "localhost"])
def test_a_held_port_is_never_shared(opened: ExitStack, second: str) -> None:
    """Two listeners on one port would each see half of the validations."""
    (first,) = open_in(opened, Bind("127.0.0.1", 0))
    with pytest.raises(OSError, match="in use") as taken:
        open_sockets(Bind(second, bound_address(first).port))
    assert taken.value.errno == errno.EADDRINUSE


def passed_socket(stack: ExitStack, *, listening: bool = True) -> socket.socket:
    """A blocking, inheritable socket, as systemd hands it over."""
    sock = stack.enter_context(socket.socket())
    sock.bind(("127.0.0.1", 0))
    if listening:
        sock.listen()
    sock.set_inheritable(True)
    return sock


@pytest.mark.parametrize("listening", [True, False])
def test_a_passed_socket_is_adopted_again_and_again(opened: ExitStack, listening: bool) -> None:
    """The original stays open: a second run in the same process finds it."""
    original = passed_socket(opened, listening=listening)
    for _ in range(2):
        (listener,) = open_in(opened, Passed(original.fileno()))
        assert listener.getsockname() == original.getsockname()
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not listener.getblocking()
        assert not listener.get_inheritable()
        listener.close()
    assert not original.get_inheritable()
    assert fcntl.fcntl(original.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_what_is_no_tcp_listener_is_refused(opened: ExitStack, tmp_path: Path) -> None:
    """Each wrong descriptor has its sentence, and none leaks."""
    file = opened.enter_context((tmp_path / "file").open("w"))
    udp = opened.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    unix = opened.enter_context(socket.socket(socket.AF_UNIX))
    one, other = (opened.enter_context(sock) for sock in socket.socketpair())
    tcp = passed_socket(opened)
    connected = opened.enter_context(socket.create_connection(tcp.getsockname()))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for fd, reason in [
        (999_999, "no such descriptor"),
        (file.fileno(), "not a socket"),
        (udp.fileno(), "not a TCP socket"),
        (unix.fileno(), "not a TCP socket"),
        (one.fileno(), "not a TCP socket"),
        (connected.fileno(), "cannot listen"),
    ]:
        with pytest.raises(ListenError, match=f"^fd:{fd}: .*{reason}"):
            open_sockets(Passed(fd))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert other.fileno() >= 0


@pytest.fixture
def from_systemd(opened: ExitStack) -> tuple[int, int, int]:
    """Three listening sockets at consecutive descriptors, where systemd's would begin at 3."""
    originals = [passed_socket(opened) for _ in range(3)]
    first = 700
    for number, original in enumerate(originals):
        os.dup2(original.fileno(), first + number)
        opened.callback(os.close, first + number)
    return first, first + 1, first + 2


def test_activated_sockets_go_by_their_names(from_systemd: tuple[int, int, int]) -> None:
    """FileDescriptorName= in the socket units."""
    a, b, c = from_systemd
    environ = {"LISTEN_PID": "42", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "tls:http:http", "PATH": "/bin"}
    assert take_activated(environ, 42, a) == Activated(http=(Passed(b), Passed(c)), tls=(Passed(a),))
    assert environ == {"PATH": "/bin"}
    assert not os.get_inheritable(a)


def test_activated_sockets_without_names_go_by_order(from_systemd: tuple[int, int, int]) -> None:
    """systemd's default name is the unit's, which says nothing."""
    a, b, c = from_systemd
    environ = {"LISTEN_PID": "42", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "certd.socket:certd.socket"}
    assert take_activated(environ, 42, a) == Activated(http=(Passed(a),), tls=(Passed(b),))
    assert take_activated({"LISTEN_PID": "42", "LISTEN_FDS": "1"}, 42, a) == Activated(http=(Passed(a),))
    with pytest.raises(ListenError, match=f"^fd:{c}: .*nothing says what it is for"):
        take_activated({"LISTEN_PID": "42", "LISTEN_FDS": "3"}, 42, a)


@pytest.mark.parametrize(
    ("port", "index", "use"), [(80, 1, "http"), (443, 0, "tls"), (443, 3, "tls"), (8443, 0, "tls")]
)
def test_port_443_is_tls_whatever_its_place(port: int, index: int, use: str) -> None:
    """Two ListenStream= lines for port 80 and two for 443, both families, in one unit."""
    assert use_by_port(Passed(700), port, index) == use


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "41", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "42"},
        {"LISTEN_PID": "42", "LISTEN_FDS": "x"},
        {"LISTEN_PID": "42", "LISTEN_FDS": "0"},
    ],
)
def test_sockets_meant_for_another_process_are_not_taken(environ: dict[str, str]) -> None:
    """The variables are inherited by every child of whoever was activated."""
    assert take_activated(environ, 42) == Activated()
    assert environ == {}
