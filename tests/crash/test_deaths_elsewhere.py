"""Deaths in other worlds than the matrix's: CAs that reuse nothing or everything, ports that die with certd, BIND, a
web server's directory, a real interpreter."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.crash.invariants import Goal, broken_at_the_end, broken_now
from tests.crash.runs import KILLED, REPOSITORY, RUN_LIMIT, Ended, Forks
from tests.crash.scenarios import issue_again, issued, renewed_again, wanted, well
from tests.crash.world import FOREIGN, RECORD, Way, World, world
from tests.servers.bind import Bind, BindOptions, bind

PROVEN = ("proofs-published", "withdrawal-fenced", "proofs-withdrawn", "withdrawal-stored")
IN_THE_SWEEP = ("proofs-withdrawn", "withdrawal-stored")


async def killed(w: World, point: str, *arguments: str) -> None:
    ended = await w.certd(*arguments, point=point)
    assert ended.status == KILLED, ended
    assert broken_now(w.seen()) == []


async def kept_to(w: World, goal: Goal) -> None:
    assert broken_at_the_end(w.seen(), goal) == []


@pytest.mark.parametrize("point", ["order-sent:after:kill", "order-stored:before:kill"])
async def test_a_ca_that_reuses_no_orders_gets_one_more_and_sells_no_more(
    tmp_path: Path, warm: Forks, point: str
) -> None:
    """Invariant 3: a kill between the CA's answer and our commit may cost an order, never a certificate."""
    async with world(tmp_path, warm, reuse_orders=False) as w:
        await killed(w, point, *w.issue(Way.HTTP))
        await issue_again(w, Way.HTTP)
        await kept_to(w, replace(wanted(Way.HTTP, generations=1, orders=2), left_open=1))


@pytest.mark.parametrize(
    "point",
    ["order-stored:after:kill", "finalize-sent:before:kill", "finalize-sent:after:kill", "files-staged:after:kill"],
)
async def test_authorizations_that_are_valid_still_need_no_proof_again(tmp_path: Path, warm: Forks, point: str) -> None:
    async with world(tmp_path, warm, authorization_reuse=1.0) as w:
        await issued(w, Way.DNS)
        await killed(w, point, *w.issue(Way.DNS, "--force"))
        await renewed_again(w, Way.DNS)
        assert w.hell.count("challenge") == len(Way.DNS.names)
        await kept_to(w, wanted(Way.DNS, generations=2, orders=2))


@pytest.mark.parametrize("point", ["finalize-sent:after:kill", "withdrawal-stored:after:kill"])
async def test_a_certificate_that_is_in_the_making_is_waited_for(tmp_path: Path, warm: Forks, point: str) -> None:
    async with world(tmp_path, warm, processing_share=1.0, processing=timedelta(milliseconds=300)) as w:
        await killed(w, point, *w.issue(Way.HTTP))
        await issue_again(w, Way.HTTP)
        await kept_to(w, wanted(Way.HTTP, generations=1, orders=1))


@pytest.mark.parametrize("way", [Way.HTTP, Way.ALPN])
async def test_a_validation_that_met_nobody_counts_and_the_next_run_goes_to_the_end(
    tmp_path: Path, warm: Forks, way: Way
) -> None:
    """A port of our own dies with us: the CA is refused, ends the order, and counts it against the account (R35)."""
    async with world(tmp_path, warm) as w:
        for listener in (w.http, w.alpn):
            listener.close()
        options = w.hell.ca.options
        w.ports = ("--http-address", f"127.0.0.1:{options.http_port}", "--tls-address", f"127.0.0.1:{options.tls_port}")
        w.may_look.clear()
        await killed(w, "challenges-answered:after:kill", *w.issue(way))
        w.may_look.set()
        while w.seen().ca.failed < len(way.names):  # noqa: ASYNC110 - devca sets no event
            await asyncio.sleep(0.01)
        await well(w, *w.issue(way))
        await kept_to(w, wanted(way, generations=1, orders=2))


# Other ways to publish


@asynccontextmanager
async def beside_bind(folder: Path, warm: Forks) -> AsyncIterator[tuple[World, Bind]]:
    """A world whose zone is BIND's, changed by RFC 2136."""
    (folder / "bind").mkdir()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(bind(folder / "bind", BindOptions()))
        w = await stack.enter_async_context(world(folder, warm, resolver=(server.address, server.port)))
        w.dns = server.server
        options = (f"server={server.server}", f"key_name={server.key.name}", "key_secret=env:TSIG")
        w.provider = ("--dns", "rfc2136", *(word for each in options for word in ("--dns-option", each)))
        w.environment = {"TSIG": server.key.secret}
        await server.add(RECORD, "TXT", f'"{FOREIGN}"')
        yield w, server


@pytest.mark.server("bind")
@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", PROVEN)
async def test_bind_has_no_record_of_ours_left_after_a_death(tmp_path: Path, warm: Forks, step: str, edge: str) -> None:
    async with beside_bind(tmp_path, warm) as (w, server):
        await killed(w, f"{step}:{edge}:kill", *w.issue(Way.DNS))
        await issue_again(w, Way.DNS)
        assert await server.txt(RECORD) == {FOREIGN}
        await kept_to(w, wanted(Way.DNS, generations=1, orders=1))


@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", PROVEN)
async def test_a_webroot_has_no_file_of_ours_left_after_a_death(
    tmp_path: Path, warm: Forks, step: str, edge: str
) -> None:
    """In the issuance, or in the sweep of a minute later: CAs look once more after the first success."""
    root = tmp_path / "www"
    challenges = root / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / FOREIGN).write_text("mine")
    async with world(tmp_path, warm) as w, serving(root, w):
        arguments = w.issue(Way.HTTP, "--webroot", str(root))
        if step in IN_THE_SWEEP:
            await well(w, *arguments)
            a_minute_passes(w)
        await killed(w, f"{step}:{edge}:kill", *arguments)
        await well(w, *arguments)
        a_minute_passes(w)
        await well(w, *arguments)
        assert {path.name: path.read_text() for path in challenges.iterdir()} == {FOREIGN: "mine"}
        await kept_to(w, wanted(Way.HTTP, generations=1, orders=1))


def a_minute_passes(w: World) -> None:
    """For proofs that linger."""
    with closing(sqlite3.connect(w.state / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE proofs SET withdraw_at = withdraw_at - 60000000")


@asynccontextmanager
async def serving(root: Path, w: World) -> AsyncIterator[None]:
    """Somebody else's web server on port 80."""
    app = web.Application()
    app.router.add_static("/", root)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, w.http.dup()).start()
        yield
    finally:
        await runner.cleanup()


# An interpreter of its own


@pytest.mark.parametrize("point", ["account-sent:after:kill", "order-sent:after:kill", "live-switched:before:kill"])
async def test_the_installed_program_dies_and_goes_on_as_the_forked_one_does(
    tmp_path: Path, warm: Forks, point: str
) -> None:
    """CERTD_FP is read where the program reads it, and nothing is imported beforehand."""
    async with world(tmp_path, warm) as w:
        ended = await by_itself(w, *w.issue(Way.ALPN), CERTD_FP=point)
        assert ended.status == KILLED, ended
        assert broken_now(w.seen()) == []
        ended = await by_itself(w, *w.issue(Way.ALPN))
        assert ended.status == 0, ended
        await kept_to(w, wanted(Way.ALPN, generations=1, orders=1))


async def by_itself(w: World, *arguments: str, **environment: Any) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "certd"),
        *(each.format(w.http.fileno(), w.alpn.fileno()) for each in arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=[w.http.fileno(), w.alpn.fileno()],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
        cwd=REPOSITORY,
    )
    async with asyncio.timeout(RUN_LIMIT):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
