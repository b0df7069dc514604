"""What a person reads when a port cannot be had: who holds it, and two ways on (the commonest first mistake)."""

import errno
import os

import pytest

from certd.listen.addresses import Bind, BoundAddress
from certd.listen.owner import Owner
from certd.listen.refusals import explain
from certd.listen.snippets import Server, forward_http_01, forward_tls_alpn_01, server_of
from certd.model.acme import ChallengeType
from certd.model.errors import ListenError

PORT_80 = Bind("", 80)


def taken_by(command: str, use: ChallengeType = ChallengeType.HTTP_01, *, root: bool = True) -> ListenError:
    owner = Owner(BoundAddress("0.0.0.0", 80), "root", 812, command) if command else None
    return explain(PORT_80, use, OSError(errno.EADDRINUSE, "x"), find=lambda *_: owner, root=root)


def test_port_80_held_by_nginx_is_answered_with_both_ways_on() -> None:
    """The message names the owner; the hint has the webroot command and the snippet, ready to paste."""
    error = taken_by("nginx")
    assert str(error) == ":80: cannot listen for http-01, the port is taken: nginx (pid 812) listens on 0.0.0.0:80"
    assert error.hint.splitlines() == [
        "let certd put the answers into the directory that nginx serves for port 80: --webroot DIR",
        "or start certd with --http-address 127.0.0.1:8402 and let nginx forward to it:",
        "    # in the server block for port 80; a `return` beside it wins over it: move that into `location / { … }`",
        "    location ^~ /.well-known/acme-challenge/ {",
        "        proxy_pass http://127.0.0.1:8402;",
        "    }",
    ]


@pytest.mark.parametrize(
    ("command", "words", "webroot"),
    [
        ("apache2", ["ProxyPass", "a2enmod proxy_http", "RewriteCond"], True),
        ("httpd", ["ProxyPass"], True),
        ("haproxy", ["use_backend certd", "server certd 127.0.0.1:8402"], False),
        ("caddy", ["reverse_proxy 127.0.0.1:8402", "http://example.org"], False),
        ("docker-proxy", ["forward /.well-known/acme-challenge/ to it"], True),
        ("", ["forward /.well-known/acme-challenge/ to it"], True),
        ("systemd", ["systemctl list-sockets"], True),
    ],
)
def test_each_owner_gets_its_own_advice(command: str, words: list[str], webroot: bool) -> None:
    """A webroot is offered where the owner serves files, or may."""
    hint = taken_by(command).hint
    assert all(word in hint for word in words)
    assert ("--webroot DIR" in hint) is webroot
    assert "--http-address 127.0.0.1:8402" in hint


@pytest.mark.parametrize(
    ("command", "word"), [("nginx", "ssl_preread"), ("haproxy", "req.ssl_alpn"), ("caddy", "unopened")]
)
def test_port_443_is_answered_with_http_01_or_pass_through(command: str, word: str) -> None:
    """tls-alpn-01 survives no proxy that opens TLS."""
    error = taken_by(command, ChallengeType.TLS_ALPN_01)
    assert "cannot listen for tls-alpn-01" in str(error)
    assert error.hint.startswith("validate over port 80 instead: --challenge http-01\nor ")
    assert word in error.hint
    assert "--tls-address 127.0.0.1:8403" in error.hint
    assert "--webroot" not in error.hint


def test_an_ordinary_user_is_told_who_would_see_more() -> None:
    """Not knowing is said as such."""
    unseen = Owner(BoundAddress("0.0.0.0", 80), "www-data")
    error = explain(PORT_80, ChallengeType.HTTP_01, OSError(errno.EADDRINUSE, ""), find=lambda *_: unseen, root=False)
    assert str(error).endswith("a process of user www-data listens on 0.0.0.0:80 (root would see which one)")
    assert str(taken_by("", root=False)).endswith("another program has it (root would see which one)")
    assert str(taken_by("", root=True)).endswith("another program has it")


def test_a_privileged_port_is_answered_with_ways_to_the_capability() -> None:
    """systemd first, because that is where certd belongs."""
    error = explain(PORT_80, ChallengeType.HTTP_01, PermissionError(errno.EACCES, "x"))
    assert str(error) == ":80: cannot listen for http-01: ports below 1024 need the capability CAP_NET_BIND_SERVICE"
    assert all(
        word in error.hint
        for word in (
            "AmbientCapabilities",
            "socket unit",
            "ip_unprivileged_port_start",
            "setcap",
            "--http-address",
            "--webroot",
        )
    )


@pytest.mark.parametrize(
    ("code", "says", "hint"),
    [
        (errno.EACCES, "permission denied", "SELinux"),
        (errno.EADDRNOTAVAIL, "this host does not have the address 192.0.2.99", "--http-address :8080"),
        (errno.EMFILE, os.strerror(errno.EMFILE), ""),
    ],
)
def test_other_failures_have_their_sentence(code: int, says: str, hint: str) -> None:
    """Nothing ends in a traceback."""
    error = explain(Bind("192.0.2.99", 8080), ChallengeType.HTTP_01, OSError(code, "x"))
    assert str(error) == f"192.0.2.99:8080: cannot listen for http-01: {says}"
    assert hint in error.hint


@pytest.mark.parametrize("server", Server)
def test_snippets_are_whole(server: Server) -> None:
    """Braces balance, nothing is left to fill in, and the address is the one that was asked for."""
    to = BoundAddress("127.0.0.1", 5002)
    for text in filter(None, (forward_http_01(server, to), forward_tls_alpn_01(server, to))):
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        assert code.count("{") == code.count("}")
        assert "{{" not in text
        assert "127.0.0.1:5002" in code


def test_servers_are_known_by_their_processes() -> None:
    """Names as /proc/PID/comm has them."""
    assert server_of("nginx") is Server.NGINX
    assert server_of("httpd") is Server.APACHE
    assert server_of("lighttpd") is None
