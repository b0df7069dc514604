"""A server is told of its new certificate by the operator's program: once for each generation, and until it works."""

import shlex
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from certd.app.house import House, open_house
from certd.app.reload import reload_server
from certd.model.clock import Clock
from certd.model.errors import DeployError
from certd.model.identifiers import parse_identifiers, set_key
from tests.fakes.clock import LeapingClock, ManualClock
from tests.unit.ledger.samples import generation

FILES = Path("/srv/tls")
SHOP = generation(3, "shop.test", set_key=set_key(parse_identifiers(["shop.test", "www.shop.test", "2001:db8::1"])))
WRITES_ENVIRONMENT = "import os, sys; open(sys.argv[1], 'a').write(repr(sorted(os.environ.items())) + '\\n')"


@pytest.fixture
def clock() -> Clock:
    return ManualClock()


@pytest.fixture
async def house(tmp_path: Path, clock: Clock) -> AsyncIterator[House]:
    async with open_house(tmp_path / "state", wait=0, clock=clock) as opened:
        yield opened


async def test_nothing_is_run_where_nothing_was_asked_for(house: House) -> None:
    assert await reload_server((), house, SHOP, FILES) == ""
    assert await house.ledger.reloaded(SHOP.name) is None


async def test_the_program_learns_which_certificate_and_where(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HK7: a fixed list, and nothing else of certd's environment, which may hold secrets."""
    monkeypatch.setenv("DNS_TOKEN", "canary")
    monkeypatch.setenv("LANG", "C.UTF-8")
    told = tmp_path / "told"
    await reload_server((sys.executable, "-c", WRITES_ENVIRONMENT, str(told)), house, SHOP, FILES)
    environment = dict(eval(told.read_text()))  # noqa: S307 - what our own line above wrote
    assert {name: environment.get(name) for name in sorted(environment) if name != "PATH"} == {
        "CERTD_DIR": "/srv/tls",
        "CERTD_GENERATION": "3",
        "CERTD_NAME": "shop.test",
        "CERTD_NAMES": "shop.test www.shop.test 2001:db8::1",
        "LANG": "C.UTF-8",
        "RENEWED_DOMAINS": "shop.test www.shop.test 2001:db8::1",
        "RENEWED_LINEAGE": "/srv/tls",
        **({"HOME": environment["HOME"]} if "HOME" in environment else {}),
        **({"LC_CTYPE": environment["LC_CTYPE"]} if "LC_CTYPE" in environment else {}),
    }


async def test_it_is_told_once_for_each_generation(house: House, tmp_path: Path) -> None:
    told = tmp_path / "told"
    argv = ("sh", "-c", f"echo $CERTD_GENERATION >> {shlex.quote(str(told))}")
    assert await reload_server(argv, house, SHOP, FILES) == shlex.join(argv)
    assert await reload_server(argv, house, SHOP, FILES) == ""
    await reload_server(argv, house, generation(4, "shop.test"), FILES)
    await reload_server(argv, house, generation(3, "other.test"), FILES)
    assert told.read_text() == "3\n4\n3\n"


async def test_a_failure_is_told_with_what_the_program_said_and_tried_again(house: House, tmp_path: Path) -> None:
    flag = tmp_path / "configuration is fixed"
    argv = ("sh", "-c", 'test -e "$0" || { echo nginx: bad line 7 >&2; exit 3; }', str(flag))
    for _ in range(2):
        with pytest.raises(DeployError) as caught:
            await reload_server(argv, house, SHOP, FILES)
        assert str(caught.value).startswith("shop.test: generation 3 is in /srv/tls, but `sh -c ")
        assert str(caught.value).endswith("failed: exit status 3: nginx: bad line 7")
        assert "no new certificate is ordered" in caught.value.hint
    flag.touch()
    assert await reload_server(argv, house, SHOP, FILES) != ""
    assert await house.ledger.reloaded(SHOP.name) == 3


async def test_a_program_that_is_not_there_is_a_failure_too(house: House) -> None:
    with pytest.raises(DeployError, match="`/nonexistent/reload` cannot be started: no such file or directory"):
        await reload_server(("/nonexistent/reload",), house, SHOP, FILES)
    assert await house.ledger.reloaded(SHOP.name) is None


@pytest.mark.parametrize("clock", [LeapingClock()])
async def test_a_program_that_does_not_end_is_ended(clock: LeapingClock, house: House) -> None:
    """With its children: two minutes are over at once on this clock."""
    with pytest.raises(DeployError, match="was not done after 120 s and has been ended"):
        await reload_server(("sh", "-c", "sleep 3600 & wait"), house, SHOP, FILES)
    assert timedelta(seconds=120) in [round_up(nap) for nap in clock.slept]
    assert await house.ledger.reloaded(SHOP.name) is None


def round_up(length: timedelta) -> timedelta:
    return timedelta(seconds=round(length.total_seconds()))
