"""certd where nginx was first: the port's holder is named, its webroot serves, our snippets do what they say."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from certd.app.publishers import WebrootPublisher
from certd.ca.client import AcmeClient
from certd.devca import Options
from certd.listen.addresses import Bind
from certd.listen.http01 import PREFIX
from certd.listen.listeners import Listeners, open_listeners
from certd.listen.snippets import Server, forward_http_01, forward_tls_alpn_01
from certd.model.acme import Authorization, Challenge, ChallengeType
from certd.model.clock import SystemClock
from certd.model.errors import ListenError
from certd.model.identifiers import parse_identifiers
from certd.model.proofs import Proof
from tests.fakes.signing import FakeKey
from tests.flow.command import certd
from tests.flow.conftest import Folders
from tests.flow.test_ca_devca import open_hell
from tests.hellca.hell import HellCa
from tests.servers.certificates import api_certificate
from tests.servers.nginx import Nginx, NginxOptions, nginx
from tests.unit.ca.issuance import issue
from tests.unit.devca.conftest import a_moment
from tests.unit.listen.fakes import LOOPBACK, TOKEN, Rows, alpn_proof, converse, http_proof, request
from tests.unit.listen.validator import client_context, validate

pytestmark = pytest.mark.server("nginx")
CLOCK = SystemClock()
StartNginx = Callable[[NginxOptions], Awaitable[Nginx]]
REDIRECT = "return 301 https://$host$request_uri;"


def server(*inside: str, listen: str = "127.0.0.1:@PORT@") -> str:
    return f"server {{ listen {listen}; server_name example.org; {' '.join(inside)} }}"


def lines(text: str) -> str:
    """A snippet within a block: its comment would swallow what follows on the same line."""
    return f"\n{text}\n"


@pytest.fixture
def start_nginx(stack: AsyncExitStack, folders: Folders) -> StartNginx:
    return lambda options: stack.enter_async_context(nginx(folders.new("nginx"), options))


@pytest.fixture
def rows() -> Rows:
    return Rows(http_proof(), alpn_proof())


@pytest.fixture
async def behind(rows: Rows) -> AsyncIterator[Listeners]:
    """certd's listeners, where nginx passes things on to."""
    async with open_listeners(rows, CLOCK, http=[LOOPBACK], tls=[LOOPBACK]) as listeners:
        yield listeners


async def test_the_snippet_forwards_challenges_and_nothing_else(
    start_nginx: StartNginx, behind: Listeners, rows: Rows
) -> None:
    """Beside the redirect to https that most sites have, moved into `location /` as the snippet says."""
    snippet = forward_http_01(Server.NGINX, behind.http[0])
    front = await start_nginx(NginxOptions(server(lines(snippet), f"location / {{ {REDIRECT} }}")))
    for host in ("example.org", "192.0.2.7", "[2001:db8::1]", "other.test"):
        reply = await converse(front.address, closing(PREFIX + TOKEN, host))
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert reply.endswith(b"\r\n\r\n" + http_proof().value.encode())
    assert rows.seen == [http_proof()] * 4
    unknown = await converse(front.address, closing(PREFIX + "unknown"))
    assert unknown.startswith(b"HTTP/1.1 404 ")
    assert unknown.endswith(b"\r\n\r\n")
    before = len(rows.looked_up)
    for path in ("/", "/.well-known/acme-challenge", "/.well-known/other", "/x" + PREFIX + TOKEN):
        assert (await converse(front.address, closing(path))).startswith(b"HTTP/1.1 301 ")
    assert len(rows.looked_up) == before


async def test_a_return_beside_the_snippet_wins_over_it(start_nginx: StartNginx, behind: Listeners) -> None:
    """The trap that the snippet's comment names is one."""
    snippet = forward_http_01(Server.NGINX, behind.http[0])
    front = await start_nginx(NginxOptions(server(lines(snippet), REDIRECT)))
    assert (await converse(front.address, closing(PREFIX + TOKEN))).startswith(b"HTTP/1.1 301 ")


@pytest.mark.parametrize("way", ["forwarded", "webroot"])
async def test_a_ca_validates_through_nginx(
    start_nginx: StartNginx, behind: Listeners, rows: Rows, tmp_path: Path, way: str
) -> None:
    """devca, from several addresses and once more after `valid`; names and an address."""
    webroot = WebrootPublisher(tmp_path / "site")
    webroot.directory.mkdir()
    forwarded = lines(forward_http_01(Server.NGINX, behind.http[0])) + f"location / {{ {REDIRECT} }}"
    front = await start_nginx(NginxOptions(server(forwarded if way == "forwarded" else f"root {webroot.directory};")))

    async def show(proof: Proof) -> None:
        if way == "forwarded":
            rows.proofs[proof.type, proof.name] = proof
        else:
            await webroot.publish([proof])
            await webroot.wait_until_visible([proof])

    async with (
        HellCa.start(Options(http_port=front.address.port)) as hell,
        open_hell(hell, FakeKey.make()) as ca,
    ):
        await ca.register(terms_agreed=True)
        names = ["a.localhost", "b.test", "127.0.0.1"]
        order, _ = await issue(ca, names, prepare=preparing(show))
        assert order.identifiers == frozenset(parse_identifiers(names))
        assert {each.type for each in hell.ca.validations} == {"http-01"}


def preparing(
    show: Callable[[Proof], Awaitable[None]],
) -> Callable[[AcmeClient, Authorization], Awaitable[Challenge]]:
    async def prepare(ca: AcmeClient, authorization: Authorization) -> Challenge:
        challenge = next(each for each in authorization.challenges if each.type is ChallengeType.HTTP_01)
        words = ca.key_authorization(challenge.token)
        await show(Proof(ChallengeType.HTTP_01, authorization.identifier, challenge.token, words))
        return challenge

    return prepare


async def test_tls_alpn_01_comes_through_unopened_and_the_site_stays_reachable(
    start_nginx: StartNginx, behind: Listeners, rows: Rows, tmp_path: Path
) -> None:
    """`ssl_preread`: whoever offers acme-tls/1 meets certd's certificate, everybody else the site's own."""
    snippet = forward_tls_alpn_01(Server.NGINX, behind.tls[0])
    assert snippet is not None
    own = api_certificate(tmp_path)
    site = server(f"ssl_certificate {own.certificate}; ssl_certificate_key {own.key};", listen="127.0.0.1:@TLS@ ssl")
    stream = snippet.replace("listen 443", "listen 127.0.0.1:@PORT@").replace("listen [::]:443;", "")
    front = await start_nginx(NginxOptions(site, stream.replace("127.0.0.1:8443", "127.0.0.1:@TLS@")))
    names = ("example.org", "192.0.2.7", "2001:db8::1")
    for name in names:
        proof = alpn_proof(name)
        rows.proofs[proof.type, proof.name] = proof
        await validate(front.address, proof)
    for alpn in ((), ("h2", "http/1.1"), ("acme-tls/1", "http/1.1")):
        assert await served(front, *alpn) in own.certificate.read_text()
    assert rows.seen == [alpn_proof(name) for name in names]


@pytest.mark.parametrize("type_", [ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01])
async def test_the_holder_of_the_port_is_named_with_ways_around_it(
    start_nginx: StartNginx, rows: Rows, type_: ChallengeType
) -> None:
    """The commonest first mistake: `certd issue` where nginx runs; the master is named, not one of its workers."""
    front = await start_nginx(NginxOptions(server()))
    wanted = [Bind(front.address.host, front.address.port)]
    http, tls = (wanted, None) if type_ is ChallengeType.HTTP_01 else (None, wanted)
    with pytest.raises(ListenError) as caught:
        async with open_listeners(rows, CLOCK, http=http, tls=tls):
            pytest.fail("it opened")
    assert str(caught.value) == (
        f"{front.address}: cannot listen for {type_.value}, the port is taken: "
        f"nginx (pid {front.running.pid}) listens on {front.address}"
    )
    if type_ is ChallengeType.HTTP_01:
        ways = ["--webroot DIR", "--http-address 127.0.0.1:8402", forward_http_01(Server.NGINX)]
    else:
        ways = ["--challenge http-01", "--tls-address 127.0.0.1:8403", forward_tls_alpn_01(Server.NGINX) or "none"]
    hint = dedent(caught.value.hint.partition("forward to it:\n")[2])
    assert hint == ways.pop()
    assert all(words in caught.value.hint for words in ways)


def closing(path: str, host: str = "example.org") -> bytes:
    """A request after which nginx hangs up."""
    return request(path, host=host).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


async def served(front: Nginx, *alpn: str) -> str:
    """The certificate that a visitor of the site is shown, PEM."""
    context = client_context(*alpn)
    _, writer = await asyncio.open_connection(
        front.address.host, front.address.port, ssl=context, server_hostname="example.org"
    )
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return ssl.DER_cert_to_PEM_cert(der).strip()
    finally:
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def test_a_late_look_still_finds_the_file_of_a_certd_that_has_ended(
    start_nginx: StartNginx, tmp_path: Path
) -> None:
    """Invariant 5, CA36: the CA comes again after `valid`, and nobody waits for it."""
    site = tmp_path / "site"
    site.mkdir()
    front = await start_nginx(NginxOptions(server(f"root {site};")))
    async with HellCa.start(Options(http_port=front.address.port, late_after=timedelta(seconds=2))) as hell:
        await certd(
            *("issue", "-d", "a.localhost", "-d", "b.test", "--server", hell.directory_url, "--agree-tos"),
            *("--ca-bundle", hell.ca.root_path, "--state-dir", tmp_path / "state", "--webroot", site),
        )
        while len(late := [each for each in hell.ca.validations if each.late]) < 2:
            await a_moment()
        assert [each.problem for each in late] == [None, None]
