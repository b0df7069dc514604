"""This host's own addresses, to compare with the one that a CA says it asked. Reads /proc and nothing else."""

import re
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")


def own_addresses(proc: Path = Path("/proc")) -> tuple[str, ...]:
    """IPv4 and IPv6 addresses that others may reach this host at: neither loopback nor link-local, in order."""
    found: dict[str, None] = {}
    net = proc / "self" / "net"
    with suppress(OSError):
        found.update(dict.fromkeys(_LOCAL.findall((net / "fib_trie").read_text("ascii", "replace"))))
    with suppress(OSError):
        for line in (net / "if_inet6").read_text("ascii", "replace").splitlines():
            with suppress(ValueError):
                found[str(IPv6Address(bytes.fromhex(line[:32])))] = None
    return tuple(address for address in found if not _is_local_only(address))


def _is_local_only(text: str) -> bool:
    address = ip_address(text)
    return address.is_loopback or address.is_link_local
