"""Places where a test's own listener can be: ports that stay ours, and addresses of loopback that nobody else has."""

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_addresses = itertools.count()


@contextmanager
def held_port() -> Iterator[int]:
    """A port that stays ours while nobody listens at it: for listeners that come and go, such as a command's.

    A socket is bound to it on every address, IPv4 and IPv6, and never listens. The kernel then gives the port to
    nobody who asks for any free one, and lets whoever asks for this one have it (Linux: SO_REUSEADDR on both).
    """
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        held.bind(("::", 0))
        yield held.getsockname()[1]


def new_loopback_address() -> str:
    """A 127.x.y.z that no other test uses at this time, for CAs that only come to ports 80 and 443."""
    count, pid = next(_addresses), os.getpid()
    return f"127.{16 + (pid >> 8) % 200}.{pid % 256}.{1 + count % 250}"
