"""Who holds a TCP port: the kernel's socket tables, and the processes whose descriptors point at the socket.

Used only to explain that a port is taken. Reads /proc and nothing else; another user's descriptors are seen by root
alone, and then the answer has the user but no process.
"""

import pwd
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from certd.listen.addresses import BoundAddress

PROC = Path("/proc")
_LISTENING = "0A"  # TCP_LISTEN in include/net/tcp_states.h
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Owner:
    """A listener. `pid` 0 and `command` empty: somebody's whose descriptors we may not read."""

    address: BoundAddress
    user: str
    pid: int = 0
    command: str = ""

    def __str__(self) -> str:
        who = f"{self.command} (pid {self.pid})" if self.pid else f"a process of user {self.user}"
        return f"{who} listens on {self.address}"


@dataclass(frozen=True, slots=True)
class _Row:
    address: BoundAddress
    uid: int
    inode: int


def find_owner(host: str, port: int, proc: Path = PROC) -> Owner | None:
    """Who keeps us from binding *host* (empty: every address) and *port*; None if no table shows a listener there.

    Blocks for as long as it takes to look at every process: call it in a thread.
    """
    row = next(
        (row for row in _listening(proc) if row.address.port == port and _collides(row.address.host, host)), None
    )
    if row is None:
        return None
    user = _user(row.uid)
    pids = _holders(row.inode, proc)
    if not pids:
        return Owner(row.address, user)
    pid = _first_of_family(pids, proc)
    return Owner(row.address, user, pid, _command(pid, proc))


def _collides(held: str, wanted: str) -> bool:
    if wanted in {"", "::", "localhost"} or held in _ANY:
        return True
    return held == wanted or (wanted in _ANY and ":" not in held)


def _listening(proc: Path) -> Iterator[_Row]:
    # "self/net": the tables of our own network namespace, which is where the bind failed.
    for table in ("tcp", "tcp6"):
        with suppress(OSError), (proc / "self" / "net" / table).open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                if (row := _row(line)) is not None:
                    yield row


def _row(line: str) -> _Row | None:
    """One line of /proc/net/tcp (proc(5)): `sl local rem st tx:rx tr:when retr uid timeout inode …`."""
    fields = line.split()
    if len(fields) < 10 or fields[3] != _LISTENING:
        return None
    address, _, port = fields[1].partition(":")
    try:
        return _Row(BoundAddress(_address(address), int(port, 16)), int(fields[7]), int(fields[9]))
    except (ValueError, OSError):
        return None


def _address(text: str) -> str:
    """The table's form: 32-bit words in the machine's byte order, as hexadecimal numbers."""
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = ip_address(socket.inet_ntop(socket.AF_INET6 if len(raw) == 16 else socket.AF_INET, raw))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _holders(inode: int, proc: Path) -> set[int]:
    wanted = f"socket:[{inode}]"
    return {pid for pid in _processes(proc) if any(target == wanted for target in _descriptors(pid, proc))}


def _processes(proc: Path) -> Iterator[int]:
    with suppress(OSError):
        yield from (int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal())


def _descriptors(pid: int, proc: Path) -> Iterator[str]:
    directory = proc / str(pid) / "fd"
    with suppress(OSError):  # another user's, or gone meanwhile
        for descriptor in directory.iterdir():
            with suppress(OSError):
                yield str(descriptor.readlink())


def _first_of_family(pids: set[int], proc: Path) -> int:
    """The process that the others of *pids* come from: nginx's master, not one of its workers."""
    return min((pid for pid in pids if _parent(pid, proc) not in pids), default=min(pids))


def _parent(pid: int, proc: Path) -> int:
    with suppress(OSError, ValueError, IndexError):
        # `pid (comm) state ppid …`, and comm may hold spaces and parentheses.
        after_command = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2]
        return int(after_command.split()[1])
    return 0


def _command(pid: int, proc: Path) -> str:
    """The process's name. Processes choose it themselves: only harmless characters reach a terminal."""
    with suppress(OSError):
        name = (proc / str(pid) / "comm").read_text(errors="replace").strip()
        return re.sub(r"[^\w .:/@+-]", "?", name, flags=re.ASCII) or "a process without a name"
    return "a process that has just ended"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
