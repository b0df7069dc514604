"""Why a port could not be opened, as a sentence with a way out. The commonest first mistake is port 80 of a web server.

Blocks while it looks at every process (`certd.listen.owner`): call `explain` in a thread.
"""

import errno
import os
from collections.abc import Callable
from textwrap import indent

from certd.listen.addresses import Bind
from certd.listen.owner import Owner, find_owner
from certd.listen.snippets import BEHIND_HTTP, BEHIND_TLS, Server, forward_http_01, forward_tls_alpn_01, server_of
from certd.model.acme import ChallengeType
from certd.model.errors import ListenError

FindOwner = Callable[[str, int], Owner | None]

_OPTION = {ChallengeType.HTTP_01: "--http-address", ChallengeType.TLS_ALPN_01: "--tls-address"}
_BEHIND = {ChallengeType.HTTP_01: BEHIND_HTTP, ChallengeType.TLS_ALPN_01: BEHIND_TLS}
_PRIVILEGED = 1024


def explain(
    address: Bind, use: ChallengeType, error: OSError, *, find: FindOwner = find_owner, root: bool | None = None
) -> ListenError:
    """The ListenError for *error*, met while opening *address* to answer challenges of type *use*."""
    match error.errno:
        case errno.EADDRINUSE:
            am_root = os.geteuid() == 0 if root is None else root
            return _taken(address, use, find(address.host, address.port), root=am_root)
        case errno.EACCES | errno.EPERM:
            return _forbidden(address, use)
        case errno.EADDRNOTAVAIL:
            return ListenError(
                f"{address}: cannot listen for {use.value}: this host does not have the address {address.host}",
                hint=f"`ip address` shows what it has; {_OPTION[use]} :{address.port} takes every address",
            )
        case code:
            return ListenError(f"{address}: cannot listen for {use.value}: {os.strerror(code or 0)}")


def _taken(address: Bind, use: ChallengeType, owner: Owner | None, *, root: bool) -> ListenError:
    who = str(owner) if owner is not None else "another program has it"
    if not root and (owner is None or not owner.pid):
        who += " (root would see which one)"
    return ListenError(f"{address}: cannot listen for {use.value}, the port is taken: {who}", hint=_ways(use, owner))


def _ways(use: ChallengeType, owner: Owner | None) -> str:
    command = owner.command if owner is not None else ""
    server = server_of(command)
    ways = [_forwarding(use, server)]
    if use is ChallengeType.HTTP_01 and (server is None or server.serves_files):
        ways.insert(0, f"{_files(server)}: --webroot DIR")
    elif use is ChallengeType.TLS_ALPN_01:
        ways.insert(0, "validate over port 80 instead: --challenge http-01")
    if command == "systemd":
        ways.insert(
            0, "a socket unit holds the port (`systemctl list-sockets`); have it start certd, and certd takes it"
        )
    return "\nor ".join(ways)


def _files(server: Server | None) -> str:
    whose = f"{server.value} serves for port 80" if server is not None else "that program serves, if it serves files"
    return f"let certd put the answers into the directory that {whose}"


def _forwarding(use: ChallengeType, server: Server | None) -> str:
    behind = _BEHIND[use]
    option = f"{_OPTION[use]} {behind}"
    snippet = None if server is None else _snippet(use, server)
    if server is not None and snippet is not None:
        return f"start certd with {option} and let {server.value} forward to it:\n{indent(snippet, '    ')}"
    what = (
        "/.well-known/acme-challenge/"
        if use is ChallengeType.HTTP_01
        else "connections with ALPN acme-tls/1, unopened,"
    )
    return f"start certd with {option} and let what holds the port forward {what} to it"


def _snippet(use: ChallengeType, server: Server) -> str | None:
    return forward_http_01(server) if use is ChallengeType.HTTP_01 else forward_tls_alpn_01(server)


def _forbidden(address: Bind, use: ChallengeType) -> ListenError:
    if not 0 < address.port < _PRIVILEGED:
        return ListenError(
            f"{address}: cannot listen for {use.value}: permission denied",
            hint="SELinux or AppArmor may forbid this port: see the audit log (ausearch -m avc, or dmesg)",
        )
    return ListenError(
        f"{address}: cannot listen for {use.value}: ports below {_PRIVILEGED} need the capability CAP_NET_BIND_SERVICE",
        hint="as a systemd service: AmbientCapabilities=CAP_NET_BIND_SERVICE, or a socket unit that passes the port\n"
        "or for every program of this host: sysctl net.ipv4.ip_unprivileged_port_start=80\n"
        "or for one copy of the Python interpreter, and so for all that it runs: setcap cap_net_bind_service=+ep FILE\n"
        f"or behind a server that holds the port: {_OPTION[use]} {_BEHIND[use]}"
        + (", or --webroot DIR" if use is ChallengeType.HTTP_01 else ""),
    )
