"""Where a name lies, for validation: always on loopback, by the map of the options, never by asking a resolver.

glibc does not resolve `demo.localhost` everywhere, and nothing resolves `demo.test`; devca resolves both itself.
"""

from collections.abc import Mapping
from ipaddress import ip_address

from certd.devca.identifiers import reserved
from certd.devca.problems import refused

ANY = ("127.0.0.1",)


def addresses_of(name: str, places: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The addresses to try for *name*: the first IPv6 one, then the first IPv4 one (Boulder's choice).

    *places*: exact names and `*.suffix` patterns; the exact one wins, then the longest suffix. Raises Refused(dns).
    """
    if not reserved(name):
        raise refused("dns", f"{name}: not resolved, this is a test CA (.test, .localhost, .internal, .home.arpa)")
    labels = name.split(".")
    patterns = [name, *(f"*.{'.'.join(labels[each:])}" for each in range(1, len(labels)))]
    found = next((places[each] for each in patterns if each in places), ANY)
    if not found:
        raise refused("dns", f"DNS problem: NXDOMAIN looking up A for {name}")
    firsts: dict[int, str] = {}
    for each in found:
        firsts.setdefault(ip_address(each).version, each)
    return [firsts[each] for each in sorted(firsts, reverse=True)]


def source_for(address: str, source: str) -> tuple[str, int] | None:
    """What to bind before connecting to *address*; None where *source* is of the other family (IPv6 has one ::1)."""
    same = ip_address(address).version == ip_address(source).version
    return (source, 0) if same else None
