"""`python -m tests.servers.prepare` (`make servers`): brings what the tests start, once.

Debian's packages where root is at hand, Go programs built from `tests/tools/`, and programs from PyPI in environments
of their own. What cannot be had is said and left out: tests that need it then skip, or fail under CERTD_TEST_STRICT=1.
"""

import subprocess
import sys

from tests.servers.go_tools import ROOT, build
from tests.servers.requirement import Missing

DEBIAN = (
    "bind9",  # rfc2136
    "nginx-light",  # holds port 80, is reloaded
    "libnginx-mod-stream",  # tells tls-alpn-01 from other visitors of port 443
    "pebble",  # 2.4: an old ACME server
    "lego",  # and other clients: devca and Pebble must suit them too, benches run beside them
    "dehydrated",
    "uacme",
    "strace",  # kills and failing system calls
    "systemd",  # systemd-analyze reads our units
)
GO = ("pebble", "step-ca")
PYPI = ("openbao", "certbot")


def main() -> None:
    _call("debian-packages", *DEBIAN)
    for module in GO:
        built = build(module)
        if isinstance(built, Missing) and "no Go" in built.reason and _call("set-up", "tool", "go"):
            built = build(module)
        if isinstance(built, Missing):
            sys.stderr.write(f"left out: {built.reason}\n")
    for tool in PYPI:
        if not _call("set-up", "tool", tool):
            sys.stderr.write(f"left out: {tool}\n")


def _call(script: str, *arguments: str) -> bool:
    done = subprocess.run([ROOT / "scripts" / script, *arguments], stdin=subprocess.DEVNULL, timeout=1800, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    main()
