"""Ports that somebody else holds for certd: socket units of systemd, and `--http-address fd:N`."""

import socket
from pathlib import Path

import pytest
from cryptography import x509

from certd.devca import Options
from tests.flow.command import certd
from tests.hellca.hell import HellCa

# What systemd does: the sockets from descriptor 3 on, and who is meant (sd_listen_fds(3)).
START = """
import os, sys
passed, named, *argv = sys.argv[1:]
os.dup2(int(passed), 3)
if named != "none":
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": named}
os.execv(sys.executable, [sys.executable, "-m", "certd", *argv])
"""


@pytest.mark.parametrize(
    ("named", "more"),
    [
        ("http", ()),
        ("tls", ("--challenge", "tls-alpn-01")),
        ("certd.socket", ()),
        ("none", ("--http-address", "fd:3")),
    ],
)
async def test_a_socket_that_was_passed_answers(tmp_path: Path, named: str, more: tuple[str, ...]) -> None:
    """A user who may bind no port below 1024 needs none: the port is open before certd starts, and stays so."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        async with HellCa.start(Options(http_port=port, tls_port=port)) as hell:
            await certd(
                *("issue", "-d", "a.localhost", "--server", hell.directory_url, "--agree-tos"),
                *("--ca-bundle", hell.ca.root_path, "--state-dir", tmp_path / "state", *more),
                launcher=("-c", START, str(listener.fileno()), named),
                pass_fds=(listener.fileno(),),
            )
            assert {each.problem for each in hell.ca.validations if not each.late} == {None}
        with socket.socket() as visitor:
            visitor.connect(("127.0.0.1", port))
    leaf = x509.load_pem_x509_certificate((tmp_path / "state/live/a.localhost/cert.pem").read_bytes())
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
