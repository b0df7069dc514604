"""How many requests a certificate costs, counted at the CA: the cost that matters to it, and the one that cannot hide.

Nothing is asked twice, nothing before its time. The clock of these tests wakes nobody while Pebble is at work, so that
the counts are exact on a slow machine as well.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from bench.engine import Nobody, engine
from certd.app.issue import run_issue
from certd.app.request import AccountOptions, ChallengeOptions, IssueRequest
from certd.app.result import ISSUED
from certd.model.clock import SystemClock
from tests.flow.conftest import StartPebble
from tests.servers.pebble import Pebble, PebbleOptions
from tests.servers.process import LOOPBACK, free_ports

LOOK = 0.01

#: newOrder, authorization, challenge, order until it is ready, finalize, order until it is valid, certificate.
ONE_CERTIFICATE = Counter(newOrder=1, authorization=1, challenge=1, order=2, finalize=1, certificate=1)
ARI = Counter(renewalInfo=1)


class UnhurriedClock(SystemClock):
    def __init__(self, ca: Pebble) -> None:
        self._ca = ca

    async def sleep_until(self, moment: datetime) -> None:
        await super().sleep_until(moment)
        while self._is_at_work():  # noqa: ASYNC110 - a program that writes its log sets no event
            await asyncio.sleep(LOOK)
        await asyncio.sleep(LOOK)  # it says that it is done a moment before it is

    def _is_at_work(self) -> bool:
        log, asked = self._ca.running.log.text(), self._ca.request_table()
        return (
            log.count(" set VALID by completed challenge ") < asked["challenge"]
            or log.count("Issued certificate serial ") < asked["finalize"]
        )


@pytest.fixture
def http_port() -> int:
    (port,) = free_ports(1)
    return port


@pytest.fixture
async def ca(start_pebble: StartPebble, http_port: int) -> Pebble:
    return await start_pebble(PebbleOptions(http_port=http_port, nonce_reject=0, authz_reuse=0))


@pytest.fixture
def asked(ca: Pebble) -> Callable[[], Counter[str]]:
    """What the CA was asked since this was called last."""
    before: Counter[str] = Counter()

    def since() -> Counter[str]:
        now = ca.request_table()
        new = now - before
        before.update(new)
        return new

    return since


def _request(ca: Pebble, http_port: int, state_dir: Path, *names: str) -> IssueRequest:
    return IssueRequest(
        names=names,
        server=ca.directory_url,
        ca_bundle=ca.ca_bundle,
        account=AccountOptions(agree_tos=True),
        challenge=ChallengeOptions(http_address=f"{LOOPBACK}:{http_port}"),
        state_dir=state_dir,
    )


async def test_the_engine_asks_seven_times_for_a_certificate_and_once_when_to_renew_it(
    ca: Pebble, http_port: int, asked: Callable[[], Counter[str]], tmp_path: Path
) -> None:
    async with engine(ca.directory_url, ca.ca_bundle, http_port, tmp_path / "state", UnhurriedClock(ca)) as warm:
        asked()
        for name in ("a.example.test", "b.example.test"):
            await warm.issue(name)
            assert asked() == ONE_CERTIFICATE + ARI


async def test_a_new_process_asks_for_its_first_nonce_besides_and_for_no_directory(
    ca: Pebble, http_port: int, asked: Callable[[], Counter[str]], tmp_path: Path
) -> None:
    """The account and the directory are on the disk; the one registration needed them, and nothing else more."""
    clock = UnhurriedClock(ca)
    for name, besides in (
        ("a.example.test", Counter(directory=1, newNonce=1, newAccount=1)),
        ("b.example.test", Counter(newNonce=1)),
    ):
        result = await run_issue(_request(ca, http_port, tmp_path / "state", name), Nobody(), clock)
        assert result.status == ISSUED
        assert asked() == ONE_CERTIFICATE + ARI + besides


async def test_a_hundred_names_in_one_order_are_proven_with_two_requests_each(
    ca: Pebble, http_port: int, asked: Callable[[], Counter[str]], tmp_path: Path
) -> None:
    names = [f"n{number}.example.test" for number in range(100)]
    async with engine(ca.directory_url, ca.ca_bundle, http_port, tmp_path / "state", UnhurriedClock(ca)) as warm:
        asked()
        await warm.issue(*names)
    spent = asked()
    assert spent.total() <= 210
    nonces = Counter(newNonce=spent["newNonce"])
    assert spent == ONE_CERTIFICATE + Counter(authorization=99, challenge=99) + ARI + nonces
