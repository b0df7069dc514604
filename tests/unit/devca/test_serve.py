"""`certd devca` as a program: what it prints, how it ends, what it refuses."""

import asyncio
import json
import signal
import socket
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from certd.cli.devca import _options, command
from certd.devca import DevCa, Options
from certd.devca.serve import serve
from tests.unit.devca.conftest import Connect
from tests.unit.devca.raw_client import new_key

COMMAND = (sys.executable, "-m", "certd", "devca")


async def _started(*options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def _ended(*options: str) -> tuple[int | None, str]:
    process = await _started(*options)
    _, printed = await process.communicate()
    return process.returncode, printed.decode()


async def test_it_announces_itself_serves_and_ends_by_signal(tmp_path: Path, connect: Connect) -> None:
    process = await _started("--listen", "127.0.0.1:0", "--state-dir", str(tmp_path / "ca"), "--json", "--friendly")
    assert process.stdout is not None
    line = json.loads(await process.stdout.readline())
    root = tmp_path / "ca" / "root.pem"
    assert line["root"] == str(root)
    running = DevCa(line["directory_url"], _text(root), root, (), Options(), None)  # type: ignore[arg-type]
    assert (await connect(running).register()).status == 201
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


def _text(path: Path) -> str:
    return path.read_text()


async def test_a_killed_one_forgets_nobody(tmp_path: Path, connect: Connect) -> None:
    options = ("--listen", "127.0.0.1:0", "--state-dir", str(tmp_path), "--json", "--friendly")
    statuses, urls = [], set()
    key = new_key()
    for _ in range(2):
        process = await _started(*options)
        assert process.stdout is not None
        line = json.loads(await process.stdout.readline())
        root = tmp_path / "root.pem"
        client = connect(DevCa(line["directory_url"], _text(root), root, (), Options(), None))  # type: ignore[arg-type]
        client.key = key
        answer = await client.register()
        statuses.append(answer.status)
        urls.add((answer.location, (await client.new_order("a.test")).location))
        process.kill()
        await process.communicate()
    assert statuses == [201, 200]
    assert len(urls) == 1


async def test_people_read_the_directory_the_root_and_what_it_is_not(tmp_path: Path) -> None:
    lines: list[str] = []
    ready = asyncio.Event()

    def announce(text: str) -> None:
        lines.extend(text.splitlines())
        ready.set()

    task = asyncio.create_task(serve(Options.friendly(state_dir=tmp_path), announce))
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lines[0].startswith("directory  https://127.0.0.1:")
    assert lines[1] == f"root       {tmp_path}/root.pem"
    assert "not for production" in lines[-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--listen", "10.0.0.1:1"), "loopback"),
        (("--listen", "nowhere"), "ADDRESS:PORT"),
        (("--profile", "x=forever"), "no lifetime"),
        (("--resolver", "dns.test"), "ADDRESS:PORT"),
        (("--address", "a.test"), "NAME=ADDR"),
        (("--address", "a.test=10.0.0.1"), "loopback"),
        (("--eab-keys", __file__), "MAC key"),
    ],
)
async def test_wrong_options_are_usage(options: tuple[str, ...], words: str) -> None:
    status, printed = await _ended("--listen", "127.0.0.1:0", *options)
    assert status == 2
    assert words in printed


def test_options_of_the_command_are_those_of_devca(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# kid and key\nkid-1 AAEC\n\n")
    arguments = "--listen [::1]:14001 --profile blink=40s --profile long=90d --http-port 5002 --https-port 5443"
    arguments += " --tls-port 5001 --resolver 127.0.0.1:53 --address dual.test=::1,127.0.0.1 --alternate-roots 0"
    arguments += f" --bad-nonce 0.5 --authorization-reuse 0 --eab-keys {keys}"
    given = command.make_context("devca", arguments.split()).params
    del given["as_json"]
    assert _options(**given) == Options(
        host="::1",
        port=14001,
        profiles={"blink": timedelta(seconds=40), "long": timedelta(days=90)},
        http_port=5002,
        https_port=5443,
        tls_port=5001,
        resolver=("127.0.0.1", 53),
        addresses={"dual.test": ("::1", "127.0.0.1")},
        alternate_roots=0,
        bad_nonce=0.5,
        authorization_reuse=0.0,
        eab_keys={"kid-1": b"\x00\x01\x02"},
    )
    given["friendly"] = True
    assert _options(**given).bad_nonce == 0.5
    assert _options(**given).sources == ("127.0.0.1",)


async def test_a_taken_port_and_a_taken_state_directory_are_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        status, printed = await _ended("--listen", address)
        assert status == 1
        assert printed.startswith(f"error: {address}: ")
    async with DevCa.start(Options.friendly(state_dir=tmp_path)):
        status, printed = await _ended("--listen", "127.0.0.1:0", "--state-dir", str(tmp_path))
        assert status == 1
        assert "another devca" in printed
