"""From options to ways of answering challenges, and from the journal's words back to them, in another process."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from certd.app.house import House, open_house
from certd.app.methods import Methods, check_methods, open_methods, reopen_only
from certd.app.publishers import ListenerPublisher, WebrootPublisher
from certd.app.request import ChallengeOptions
from certd.model.acme import ChallengeType
from certd.model.errors import ConfigError, ListenError, Mistakes
from tests.fakes.clock import ManualClock
from tests.fakes.publishers import Progress

HTTP, TLS, DNS = ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01, ChallengeType.DNS_01
ANY = {"http_address": "127.0.0.1:0", "tls_address": "127.0.0.1:0"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path / "state", wait=0, clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


def program(tmp_path: Path) -> str:
    path = tmp_path / "certd-dns"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


async def opened(house: House, stack: AsyncExitStack, *types: ChallengeType, **options: Any) -> Methods:
    return await open_methods(ChallengeOptions(**{**ANY, **options}), types, house, stack, Progress())


async def test_ports_are_opened_for_what_is_allowed_and_no_other(house: House, stack: AsyncExitStack) -> None:
    methods = await opened(house, stack, HTTP)
    assert methods.listeners is not None
    assert (len(methods.listeners.http), len(methods.listeners.tls)) == (1, 0)
    both = await opened(house, stack, TLS, HTTP)
    assert both.listeners is not None
    assert (len(both.listeners.http), len(both.listeners.tls)) == (1, 1)
    assert both.table.allowed == (TLS, HTTP)
    assert isinstance(both.table.by_type(TLS), ListenerPublisher)


async def test_ports_are_free_again_afterwards(house: House) -> None:
    async with AsyncExitStack() as stack:
        methods = await opened(house, stack, HTTP)
        assert methods.listeners is not None
        port = methods.listeners.http[0].port
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
        again.listen()


async def test_a_webroot_and_a_provider_need_no_port(house: House, stack: AsyncExitStack, tmp_path: Path) -> None:
    """Port 80 belongs to the server that publishes the directory."""
    options = {"webroot": tmp_path, "dns": "exec", "dns_options": (f"program={program(tmp_path)}",)}
    methods = await opened(house, stack, DNS, HTTP, **options)
    assert methods.listeners is None
    assert [methods.table.by_type(type_).method for type_ in (DNS, HTTP)] == ["dns:exec", "webroot"]


async def test_a_webroot_that_is_not_there_is_told_before_an_order(house: House, stack: AsyncExitStack) -> None:
    with pytest.raises(ListenError, match="/nonexistent: cannot publish http-01 answers"):
        await opened(house, stack, HTTP, webroot=Path("/nonexistent"))


async def test_all_ports_are_open_or_none(house: House, stack: AsyncExitStack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ListenError, match="the port is taken"):
            await opened(house, stack, HTTP, TLS, tls_address=f"127.0.0.1:{taken.getsockname()[1]}")


async def test_what_the_journal_names_is_found_again(house: House, stack: AsyncExitStack, tmp_path: Path) -> None:
    """The process that withdraws may be another one than that which published, with other options."""
    options = {"webroot": tmp_path / "www", "dns": "exec", "dns_options": (f"program={program(tmp_path)}", "timeout=7")}
    (tmp_path / "www").mkdir()
    table = (await opened(house, stack, DNS, HTTP, TLS, **options)).table
    journal = [(p.method, p.options) for p in map(table.by_type, (DNS, HTTP, TLS))]
    later = reopen_only(house, stack, Progress())
    assert later.allowed == ()
    again = [later.by_method(*words) for words in journal]
    assert [(each.method, each.options) for each in again] == journal
    assert isinstance(again[1], WebrootPublisher)
    assert again[1].directory == tmp_path / "www"


async def test_this_runs_own_ways_are_used_before_others_are_opened(house: House, stack: AsyncExitStack) -> None:
    table = (await opened(house, stack, HTTP)).table
    publisher = table.by_type(HTTP)
    assert table.by_method(publisher.method, publisher.options) is publisher


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("pigeon", "{}", "pigeon: a proof was published by this method, which this certd does not know"),
        ("dns:gone", "{}", "provider gone: there is no such provider"),
        ("dns:exec", "[]", "provider exec: its journalled options cannot be read"),
    ],
)
async def test_what_cannot_be_reopened_is_told(
    method: str, options: str, said: str, house: House, stack: AsyncExitStack
) -> None:
    with pytest.raises(ConfigError, match=said):
        reopen_only(house, stack, Progress()).by_method(method, options)


async def test_no_secret_is_in_the_journals_words(house: House, stack: AsyncExitStack, tmp_path: Path) -> None:
    """Invariant 8: references only."""
    secret = tmp_path / "tsig"
    secret.touch(mode=0o600)
    secret.write_text("Y2FuYXJ5")
    options = ("server=192.0.2.53", "key_name=k", f"key_secret=file:{secret}")
    words = (await opened(house, stack, DNS, dns="rfc2136", dns_options=options)).table.by_type(DNS).options
    assert json.loads(words)["key_secret"] == f"file:{secret}"
    assert "Y2FuYXJ5" not in words


def test_mistakes_about_dns_are_told_together() -> None:
    options = ChallengeOptions(dns="rfc2137", dns_resolvers=("ns1",), propagation_timeout="soon")
    with pytest.raises(Mistakes) as caught:
        check_methods(options)
    assert [
        word for word in ("--dns-resolver", "--propagation-timeout", "rfc2137") if word not in str(caught.value)
    ] == []


def test_options_of_no_provider_are_a_mistake() -> None:
    with pytest.raises(ConfigError, match="--dns-option without --dns PROVIDER"):
        check_methods(ChallengeOptions(dns_options=("server=x",)))
