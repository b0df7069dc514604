"""This host's addresses from the kernel's tables."""

from pathlib import Path

from certd.listen.own_addresses import own_addresses

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        +-- 198.51.100.0/30 2 0 2
           |-- 198.51.100.0
              /24 link UNICAST
           |-- 198.51.100.7
              /32 host LOCAL
        |-- 198.51.100.255
           /32 link BROADCAST
        |-- 10.0.0.4
           /32 host LOCAL
        |-- 169.254.3.3
           /32 host LOCAL
Local:
           |-- 198.51.100.7
              /32 host LOCAL
"""
IF_INET6 = """\
20010db8000000000000000000000002 04 40 00 82     eth0
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
nonsense
"""


def proc(folder: Path) -> Path:
    net = folder / "self" / "net"
    net.mkdir(parents=True)
    (net / "fib_trie").write_text(FIB_TRIE)
    (net / "if_inet6").write_text(IF_INET6)
    return folder


def test_addresses_that_others_can_reach_are_told_once(tmp_path: Path) -> None:
    assert own_addresses(proc(tmp_path)) == ("198.51.100.7", "10.0.0.4", "2001:db8::2")


def test_without_the_tables_none_are_known(tmp_path: Path) -> None:
    """Another system, or a sandbox: advice is left out then, and nothing else."""
    assert own_addresses(tmp_path) == ()


def test_the_machine_itself_is_no_exception() -> None:
    assert not any(address.startswith(("127.", "fe80:")) for address in own_addresses())
