"""Who holds a port: the kernel's tables of this machine, and a made-up /proc for what cannot be arranged."""

import os
import pwd
import socket
from pathlib import Path

import pytest

from certd.listen.addresses import BoundAddress
from certd.listen.owner import Owner, find_owner
from tests.servers.requirement import ipv6, require

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_the_holder_of_a_real_port_is_found(host: str) -> None:
    """This very process, through the kernel's own tables."""
    if ":" in host:
        require(ipv6())
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        listener.listen()
        owner = find_owner(host, listener.getsockname()[1])
    assert owner is not None
    assert owner.pid == os.getpid()
    assert owner.address == BoundAddress(host, listener_port(owner))
    assert owner.user == _own_name()
    assert owner.command == Path("/proc/self/comm").read_text().strip()


def _own_name() -> str:
    """In a container a user may have no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def listener_port(owner: Owner) -> int:
    return owner.address.port


def test_a_free_port_has_no_holder() -> None:
    """It may have been released between the bind and the look."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    assert find_owner("127.0.0.1", port) is None


class MadeUp:
    """A /proc with the tables and processes that a test says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "self" / "net").mkdir(parents=True)
        (root / "sys").mkdir()

    def table(self, name: str, *rows: tuple[str, str, int, int]) -> None:
        idle = "00000000:00000000 00:00000000 00000000"
        lines = [
            f"   {n}: {local} 00000000:0000 {state} {idle}  {uid}        0 {inode} 1 0 100\n"
            for n, (local, state, uid, inode) in enumerate(rows)
        ]
        (self.root / "self" / "net" / name).write_text(HEADER + "".join(lines))

    def process(self, pid: int, command: str, parent: int, *inodes: int) -> None:
        directory = self.root / str(pid)
        (directory / "fd").mkdir(parents=True)
        (directory / "comm").write_text(command + "\n")
        (directory / "stat").write_text(f"{pid} ({command}) S {parent} {pid} 0 0\n")
        for number, inode in enumerate(inodes):
            (directory / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUp:
    return MadeUp(tmp_path)


@pytest.mark.parametrize("pids", [(812, 813, 814), (90_000, 5, 6)])
def test_the_master_is_named_and_not_one_of_its_workers(made_up: MadeUp, pids: tuple[int, int, int]) -> None:
    """nginx's workers hold the same socket; pids wrap around."""
    made_up.table("tcp", ("00000000:0050", "0A", 0, 4711), ("0100007F:0050", "01", 0, 4712))
    made_up.process(pids[0], "nginx", 1, 1, 4711)
    for worker in pids[1:]:
        made_up.process(worker, "nginx", pids[0], 4711)
    made_up.process(1, "systemd", 0, 99)
    owner = find_owner("", 80, made_up.root)
    assert owner == Owner(BoundAddress("0.0.0.0", 80), "root", pids[0], "nginx")
    assert str(owner) == f"nginx (pid {pids[0]}) listens on 0.0.0.0:80"


def test_without_rights_the_user_is_known_but_not_the_process(made_up: MadeUp) -> None:
    """Another user's descriptors cannot be listed, the table has the uid all the same."""
    made_up.table("tcp6", ("00000000000000000000000000000000:0050", "0A", 4_000_000, 4711))
    (made_up.root / "812").mkdir()
    owner = find_owner("127.0.0.1", 80, made_up.root)
    assert owner == Owner(BoundAddress("::", 80), "4000000")
    assert str(owner) == "a process of user 4000000 listens on [::]:80"


@pytest.mark.parametrize(
    ("held", "table", "wanted", "collides"),
    [
        ("0100007F:0050", "tcp", "127.0.0.1", True),
        ("0100007F:0050", "tcp", "127.0.0.2", False),
        ("0100007F:0050", "tcp", "0.0.0.0", True),
        ("0100007F:0050", "tcp", "", True),
        ("0100007F:0051", "tcp", "127.0.0.1", False),
        ("00000000:0050", "tcp", "192.0.2.7", True),
        ("00000000000000000000000001000000:0050", "tcp6", "::1", True),
        ("00000000000000000000000001000000:0050", "tcp6", "0.0.0.0", False),
        ("0000000000000000FFFF00000100007F:0050", "tcp6", "127.0.0.1", True),
    ],
)
def test_only_a_listener_in_the_way_is_named(
    made_up: MadeUp, held: str, table: str, wanted: str, collides: bool
) -> None:
    """Somebody else's port 80 on another address is not what the bind failed on."""
    made_up.table(table, (held, "0A", 0, 4711))
    assert (find_owner(wanted, 80, made_up.root) is not None) is collides


def test_a_process_name_cannot_write_to_the_terminal(made_up: MadeUp) -> None:
    """Processes choose their names; escape sequences in them would be ours on the screen."""
    made_up.table("tcp", ("00000000:0050", "0A", 0, 4711))
    made_up.process(812, "ng\x1b[31m) x\x07", 1, 4711)
    owner = find_owner("", 80, made_up.root)
    assert owner is not None
    assert owner.command == "ng??31m? x?"


def test_nonsense_in_the_tables_is_passed_over(made_up: MadeUp) -> None:
    """An explanation must never be the second failure."""
    made_up.table("tcp", ("xyz:0050", "0A", 0, 1), ("00:0050", "0A", 0, 1), ("00000000:00zz", "0A", 0, 1))
    assert find_owner("", 80, made_up.root) is None
    assert find_owner("", 80, made_up.root / "absent") is None
