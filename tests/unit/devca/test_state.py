"""A restart on the same state directory keeps everything that a client holds a URL of."""

import asyncio
import socket
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certd.devca import DevCa, Options
from certd.devca.records import ChallengeStatus, OrderStatus
from certd.devca.server import StateDirInUse
from certd.devca.store import StateUnusable, Store
from tests.unit.devca.conftest import Connect, a_moment
from tests.unit.devca.flow import authorize, issue, ready_order
from tests.unit.devca.raw_client import RawClient, csr_for, new_key
from tests.unit.devca.responders import HttpResponder
from tests.unit.devca.test_orders import Hands


def _moved(url: str, to: DevCa) -> str:
    """The same path at another port: what the URL would be had the port been fixed."""
    return to.directory_url.removesuffix("/dir") + "/" + url.split("/", 3)[3]


def _again(client: RawClient, ca: DevCa, connect: Connect) -> RawClient:
    other = connect(ca)
    other.key, other.kid = client.key, _moved(client.kid or "", ca)
    return other


@pytest.fixture
def options(tmp_path: Path, web80: HttpResponder) -> Options:
    return Options.friendly(http_port=web80.port, state_dir=tmp_path / "devca")


async def test_accounts_orders_certificates_and_the_root_are_there_after_a_restart(
    options: Options, connect: Connect, web80: HttpResponder
) -> None:
    async with DevCa.start(options) as ca:
        client, root = connect(ca), ca.root_pem
        _, chain = await issue(client, web80, "a.test", "127.0.0.1")
        ready_url, _ = await ready_order(client, web80, "b.test")
        pending = await client.new_order("c.test")
        nonce = await client.new_nonce()
        before = ca.accounts, ca.orders, ca.certificates
        kept = [dict(each) for each in before]
    async with DevCa.start(options) as ca:
        assert ca.root_pem == root == (options.state_dir or Path()).joinpath("root.pem").read_text()
        assert [dict(each) for each in (ca.accounts, ca.orders, ca.certificates)] == kept
        again = _again(client, ca, connect)
        await again.load_directory()
        assert (await again.register(onlyReturnExisting=True)).location == again.kid
        again.nonces = [nonce]  # is stale now, which a client has to bear
        ready = await again.post(_moved(ready_url, ca))
        assert ready.json["status"] == "ready"
        assert (await again.finalize(ready.json, csr_for(new_key(), "b.test"))).json["status"] == "valid"
        order = (await again.post(_moved(pending.location, ca))).json
        await authorize(again, order, web80)
        (first, *_) = ca.certificates.values()
        assert x509.load_der_x509_certificate(first.leaf) == x509.load_pem_x509_certificates(chain.body)[0]
        assert (await again.new_order("a.test", "127.0.0.1", replaces=first.cert_id)).status == 201


async def test_an_order_left_processing_is_issued_once(
    options: Options, connect: Connect, web80: HttpResponder
) -> None:
    now = Hands()
    slow = Options.friendly(
        http_port=web80.port, state_dir=options.state_dir, processing=timedelta(seconds=30), processing_share=1.0
    )
    async with DevCa.start(slow, now=now) as ca:
        client = connect(ca)
        url, order = await ready_order(client, web80, "a.test")
        await client.finalize(order, csr_for(new_key(), "a.test"))
    now.at += timedelta(seconds=30)
    for _ in range(2):
        async with DevCa.start(slow, now=now) as ca:
            again = _again(client, ca, connect)
            await again.load_directory()
            assert (await again.post(_moved(url, ca))).json["status"] == "valid"
            assert len(ca.certificates) == 1


async def test_a_validation_under_way_goes_on(options: Options, connect: Connect, web80: HttpResponder) -> None:
    waiting = asyncio.Event()

    async def never(_: float) -> None:
        await waiting.wait()

    slow = Options.friendly(http_port=web80.port, state_dir=options.state_dir, validation_delay=timedelta(seconds=1))
    async with DevCa.start(slow, sleep=never) as ca:
        client = connect(ca)
        await client.register()
        made = await client.new_order("a.test")
        challenge = await client.challenge(made.json["authorizations"][0], "http-01")
        web80.proofs[challenge["token"]] = client.key_authorization(challenge["token"])
        assert (await client.post(challenge["url"], {})).json["status"] == "processing"
    async with DevCa.start(options) as ca:
        again = _again(client, ca, connect)
        await again.load_directory()
        found = await again.settled(_moved(made.location, ca), while_=["pending"], pause=a_moment)
        assert found["status"] == "ready"


async def test_revocation_key_change_and_challenge_errors_are_kept(
    options: Options, connect: Connect, web80: HttpResponder
) -> None:
    async with DevCa.start(options) as ca:
        client = connect(ca)
        _, chain = await issue(client, web80, "a.test")
        ca.revoke(chain.body.decode(), reason=1)
        made = await client.new_order("b.test")
        challenge = await client.challenge(made.json["authorizations"][0], "http-01")
        await client.post(challenge["url"], {})
        await client.settled(made.location, while_=["pending"], pause=a_moment)
    store = Store((options.state_dir or Path()) / "devca.sqlite")
    (certificate,) = store.certificates.values()
    assert certificate.revocation_reason == 1
    assert store.orders[made.location.rsplit("/", 1)[1]].status is OrderStatus.INVALID
    errors = [one.error for each in store.authorizations.values() for one in each.challenges]
    (error,) = [each for each in errors if each is not None]
    assert error["type"].endswith("unauthorized")
    statuses = {one.status for each in store.authorizations.values() for one in each.challenges}
    assert statuses == {ChallengeStatus.PENDING, ChallengeStatus.VALID, ChallengeStatus.INVALID}
    store.close()


async def test_one_devca_a_state_directory_and_nobody_else_reads_it(options: Options) -> None:
    assert options.state_dir is not None
    async with DevCa.start(options):
        with pytest.raises(StateDirInUse, match="another devca"):
            async with DevCa.start(options):
                pass
        assert stat.S_IMODE((options.state_dir / "devca.sqlite").stat().st_mode) == 0o600
        assert stat.S_IMODE(options.state_dir.stat().st_mode) == 0o700
        assert not [each for each in options.state_dir.iterdir() if each.name.startswith("tmp")]


@pytest.mark.parametrize(("octets", "words"), [(b"not a database" * 100, "not a database"), (None, "newer devca")])
async def test_a_state_that_cannot_be_used_is_said(options: Options, octets: bytes | None, words: str) -> None:
    assert options.state_dir is not None
    options.state_dir.mkdir()
    path = options.state_dir / "devca.sqlite"
    if octets is not None:
        path.write_bytes(octets)
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA user_version = 2")
    with pytest.raises(StateUnusable, match=words):
        async with DevCa.start(options):
            pass


async def test_a_passed_listener_is_used_and_other_addresses_refused(connect: Connect) -> None:
    with socket.create_server(("127.0.0.5", 0)) as listener:
        port = listener.getsockname()[1]
        async with DevCa.start(Options.friendly(), listener=listener) as ca:
            assert ca.directory_url == f"https://127.0.0.5:{port}/dir"
            assert (await connect(ca).register()).status == 201
    with socket.create_server(("0.0.0.0", 0)) as listener, pytest.raises(ValueError, match="loopback"):
        async with DevCa.start(Options.friendly(), listener=listener):
            pass


async def test_any_port_is_that_of_last_time_if_it_is_free(options: Options) -> None:
    async with DevCa.start(options) as ca:
        first = ca.directory_url
    async with DevCa.start(options) as ca:
        assert ca.directory_url == first
    with socket.create_server(("127.0.0.1", int(first.rsplit(":", 1)[1].removesuffix("/dir")))):
        async with DevCa.start(options) as ca:
            second = ca.directory_url
            assert second != first
    async with DevCa.start(options) as ca:
        assert ca.directory_url == second


async def test_a_port_that_is_taken_leaves_nothing_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="in use"):
        async with DevCa.start(Options.friendly(port=listener.getsockname()[1])):
            pass
