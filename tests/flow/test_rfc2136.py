"""The rfc2136 provider against BIND 9: the provider contract, and what only DNS UPDATE has."""

import base64
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from certd.api import DnsProvider
from certd_providers.rfc2136 import ALGORITHMS, MOST_PER_UPDATE, SPEC
from tests.flow.conftest import StartBind
from tests.provider_contract import VALUES, ProviderContract, Subject
from tests.servers.bind import Bind, BindOptions, new_key
from tests.servers.process import stop

ZONES = ("example.test", "other.test")


def key_file(folder: Path, name: str, secret: str) -> str:
    path = folder / name
    path.write_text(f"{secret}\n")
    path.chmod(0o600)
    return f"file:{path}"


def subject_at(server: Bind, folder: Path, **options: str) -> Subject:
    good = key_file(folder, "good", server.key.secret)
    wrong = new_key().secret
    pairs = {"server": server.server, "key_name": server.key.name, "key_secret": good} | options

    async def down() -> None:
        await stop(server.running.process)

    return Subject(
        spec=SPEC,
        pairs=tuple(pairs.items()),
        bad_pairs=tuple((pairs | {"key_secret": key_file(folder, "wrong", wrong)}).items()),
        zones=ZONES,
        values=server.txt,
        add=lambda name, value: server.add(name, "TXT", f'"{value}"'),
        stop=down,
        secrets=(server.key.secret, wrong),
    )


@pytest.fixture
async def server(start_bind: StartBind) -> Bind:
    return await start_bind(BindOptions(zones=ZONES))


@pytest.fixture
def subject(server: Bind, tmp_path: Path) -> Subject:
    return subject_at(server, tmp_path)


class TestContract(ProviderContract):
    pass
