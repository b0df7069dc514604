"""One open state directory: held by one process, and its directories of CAs kept while they are fresh."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from certd.app.dev import reachable
from certd.app.house import House, open_house
from certd.app.issuers import Issuer, parse_server
from certd.app.place import Place
from certd.ca.client import AcmeClient
from certd.devca import Options
from certd.model.errors import StorageError, TryLater
from certd.model.identifiers import CertName
from certd.model.keys import KeyType
from certd.model.steps import Step
from tests.hellca.hell import HellCa

NAME = CertName("shop.test")


@asynccontextmanager
async def talking(house: House, issuer: Issuer) -> AsyncIterator[AcmeClient]:
    key = await house.keys.open(await house.keys.generate(KeyType.EC256))
    async with house.converse(issuer, key, None) as ca:
        yield ca


async def test_who_has_to_wait_is_told_for_whom(tmp_path: Path) -> None:
    told: list[str] = []
    async with open_house(tmp_path / "state", wait=0):
        with pytest.raises(TryLater):
            async with open_house(tmp_path / "state", wait=0, told=told.append):
                raise AssertionError("two at once")
        assert told == [], "nobody waited"
        with pytest.raises(TryLater):
            async with open_house(tmp_path / "state", wait=0.2, told=told.append):
                raise AssertionError("two at once")
    (line,) = told
    assert f"held by pid {os.getpid()} (certd" in line
    assert line.endswith("waiting for it, 0.2 s at most")


async def test_waiting_ends_with_the_holder(tmp_path: Path) -> None:
    told = asyncio.Event()

    async def second() -> bool:
        async with open_house(tmp_path / "state", wait=20, told=lambda _: told.set()):
            return True

    async with open_house(tmp_path / "state", wait=0):
        waiting = asyncio.create_task(second())
        await told.wait()
    assert await waiting


async def test_a_directory_is_asked_for_once_and_then_remembered(tmp_path: Path) -> None:
    """RS1: a thousand restarts must not be a thousand requests."""
    async with HellCa.start(Options.friendly(state_dir=tmp_path / "ca")) as hell:
        issuer = parse_server(hell.directory_url, hell.ca.root_path)
        for _ in range(3):
            async with open_house(tmp_path / "state", wait=0) as house, talking(house, issuer) as ca:
                assert (await ca.directory()).new_order
        assert hell.count("directory") == 1


async def test_the_embedded_ca_may_be_at_another_port_next_time(tmp_path: Path) -> None:
    """What is remembered of it must not send anybody to the old one."""
    dev = parse_server("dev", None)
    async with open_house(tmp_path / "state", wait=0) as house, reachable(dev, house.place) as issuer:
        assert (issuer.id, issuer.trust) == (dev.id, house.place.dev_ca / "root.pem")
        async with talking(house, issuer) as ca:
            await ca.directory()
        known = await house.ledger.directory(dev.id)
        assert known is not None
        port = urlsplit(issuer.directory).port
        elsewhere = replace(known, document=known.document.replace(f":{port}/", ":1/"))
        assert elsewhere != known
        await house.ledger.commit(None, Step.DIRECTORY_CACHED, elsewhere)
        async with talking(house, issuer) as ca:
            assert (await ca.directory()).url == issuer.directory


async def test_other_cas_are_where_they_are(tmp_path: Path) -> None:
    issuer = parse_server("https://ca.test/directory", tmp_path / "root.pem")
    async with reachable(issuer, Place(tmp_path)) as there:
        assert there is issuer
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a look at a folder of ours


def test_whether_there_is_a_state_is_not_guessed(tmp_path: Path) -> None:
    place = Place(tmp_path / "state")
    assert not place.has_ledger()
    place.root.mkdir()
    assert not place.has_ledger()
    place.ledger.touch()
    assert place.has_ledger()


def test_a_state_that_nobody_may_look_at_is_told(tmp_path: Path) -> None:
    """A path too long stands for what root is never refused."""
    with pytest.raises(StorageError, match="cannot look at the state directory"):
        Place(tmp_path / ("x" * 300)).has_ledger()


@pytest.mark.parametrize(
    ("link", "number", "shown"),
    [("1", 1, True), ("1", 2, False), ("2", 1, False), (None, 1, False)],
)
def test_a_link_shows_one_generation(link: str | None, number: int, shown: bool, tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "live").mkdir()
    for each in ("1", "2"):
        directory = place.generation(NAME, int(each))
        directory.mkdir(parents=True)
        (directory / "fullchain.pem").touch()
    if link is not None:
        place.live(NAME).symlink_to(f"../generations/{NAME}/{link}")
    assert place.is_live(NAME, number) is shown


def test_a_link_to_files_that_are_gone_shows_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "live").mkdir()
    place.live(NAME).symlink_to(f"../generations/{NAME}/1")
    assert not place.is_live(NAME, 1)
    place.generation(NAME, 1).mkdir(parents=True)
    assert not place.is_live(NAME, 1)
