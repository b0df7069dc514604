"""The conversation with devca, which shares no code with certd: unfriendly, ARI, EAB, profiles, Boulder's rules."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certd.ca.cert_id import cert_id
from certd.ca.client import AcmeClient, open_ca
from certd.devca import Options
from certd.model.acme import (
    AccountStatus,
    AccountUrl,
    Authorization,
    AuthorizationStatus,
    CertId,
    Challenge,
    ChallengeType,
    NewOrder,
    OrderStatus,
    RevocationReason,
)
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable
from certd.model.identifiers import parse_identifiers
from certd.model.keys import KeyType
from certd.model.problems import Reaction
from certd.model.secret import Secret
from tests.fakes.signing import FakeKey
from tests.hellca.faults import lose_reply, problem
from tests.hellca.hell import HellCa
from tests.unit.ca.csr import make_csr
from tests.unit.ca.issuance import CLOCK, USUAL_OUTAGES, Steps, issue, poll

MAC_KEY = bytes(range(200, 232))
NO_ID = CertId("there.is.none")


class Responder:
    """Answers http-01 on a free port of 127.0.0.1, for every Host."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._proofs: dict[str, str] = {}

    async def prepare(self, ca: AcmeClient, authorization: Authorization) -> Challenge:
        challenge = next(c for c in authorization.challenges if c.type is ChallengeType.HTTP_01)
        self._proofs[f"/.well-known/acme-challenge/{challenge.token}"] = ca.key_authorization(challenge.token)
        return challenge

    @staticmethod
    @asynccontextmanager
    async def serve() -> AsyncIterator["Responder"]:
        responder = Responder(0)

        async def answer(request: web.BaseRequest) -> web.Response:
            found = responder._proofs.get(request.path)
            return web.Response(text=found) if found else web.Response(status=404)

        runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            responder.port = runner.addresses[0][1]
            yield responder
        finally:
            await runner.cleanup()


@pytest.fixture
async def responder() -> AsyncIterator[Responder]:
    async with Responder.serve() as serving:
        yield serving


@asynccontextmanager
async def open_hell(
    hell: HellCa, key: FakeKey, account: AccountUrl | None = None, **options: Any
) -> AsyncIterator[AcmeClient]:
    async with open_ca(
        hell.directory_url,
        key=key,
        account_url=account,
        clock=CLOCK,
        random=random.Random(7),
        ca_bundle=hell.ca.root_path,
        **options,
    ) as ca:
        yield ca


@dataclass(frozen=True)
class External:
    kid: str
    mac_key: Secret[str]
    algorithm: str = "HS256"


def pem_of(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


OPTIONS: Mapping[str, Options] = {
    "unfriendly": Options(authorization_reuse=0),
    "half of the nonces refused": Options(bad_nonce=0.5, processing_share=1, processing=timedelta(milliseconds=200)),
    "everything reused": Options(authorization_reuse=1, retry_after=1),
    "two intermediates, two more roots": Options.friendly(chain_length=2, alternate_roots=2),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_certificates_are_issued_however_unfriendly_the_ca_is(options: Options, responder: Responder) -> None:
    """R11, R20, R33, R34: refused nonces, shuffled arrays, chaff, delays, processing, alternates; an address."""
    async with (
        HellCa.start(replace(options, http_port=responder.port)) as hell,
        open_hell(hell, FakeKey.make()) as ca,
    ):
        steps = Steps(USUAL_OUTAGES if options.bad_nonce > 0.1 else 0)
        await steps.make(ca.register, contact=["mailto:a@example.test"], terms_agreed=True)
        names = ["a.localhost", "b.example.test", "127.0.0.1"]
        for _ in range(2):
            await issue(ca, names, prepare=responder.prepare, steps=steps)
        order, chains = await issue(ca, names, prepare=responder.prepare, steps=steps)
        leaf = x509.load_der_x509_certificate(chains.default.leaf)
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert {str(name.value) for name in found} == set(names)
        assert len(chains.alternates) == options.alternate_roots
        assert len(hell.certificates) == 3
        assert order.identifiers == frozenset(parse_identifiers(names))


async def test_seven_requests_for_a_certificate(responder: Responder) -> None:
    """R9: counted by the CA; a new process adds newNonce and nothing else."""
    async with HellCa.start(Options.friendly(http_port=responder.port)) as hell:
        key = FakeKey.make()
        async with open_hell(hell, key) as ca:
            account = (await ca.register(terms_agreed=True)).url
            snapshot = ca.fetched_directory
        assert snapshot is not None
        hell.forget()
        async with open_hell(hell, key, account, directory=(snapshot, CLOCK.now())) as ca:
            order, _ = await issue(ca, ["a.localhost"], prepare=responder.prepare)
        counts = hell.counts()
        polls = counts["order"]
        assert hell.count() == 6 + polls  # newNonce, newOrder, authorization, challenge, finalize, certificate
        assert order.status is OrderStatus.VALID


@pytest.mark.parametrize("type_", [KeyType.EC256, KeyType.EC384, KeyType.RSA2048])
async def test_the_life_of_an_account_with_a_binding(type_: KeyType) -> None:
    """R24, R26, R28, R29, R30: another implementation than Pebble's says the same."""
    from tests.unit.ca.state import b64

    async with HellCa.start(Options(eab_keys={"kid-1": MAC_KEY})) as hell:
        old, new = FakeKey.make(type_), FakeKey.make()
        async with open_hell(hell, old) as ca:
            with pytest.raises(CaRefused) as caught:
                await ca.register(terms_agreed=True)
            assert caught.value.problem.kind == "externalAccountRequired"
            external = External("kid-1", Secret(b64(MAC_KEY)))
            with pytest.raises(CaRefused):
                await ca.register(terms_agreed=True, external=External("kid-1", Secret(b64(MAC_KEY[::-1]))))
            made = await ca.register(contact=["mailto:a@example.test"], terms_agreed=True, external=external)
            assert (await ca.find_account()).url == made.url
            assert (await ca.update_account(["mailto:b@example.test"])).contact == ("mailto:b@example.test",)
            await ca.rollover(new)
            assert (await ca.fetch_account()).status is AccountStatus.VALID
        async with open_hell(hell, old) as ca:
            with pytest.raises(CaRefused) as caught:
                await ca.find_account()
            assert caught.value.problem.reaction is Reaction.REPAIR
        async with open_hell(hell, new, made.url) as ca:
            assert (await ca.deactivate_account()).status is AccountStatus.DEACTIVATED
            with pytest.raises(CaRefused) as caught:
                await ca.fetch_account()
            assert caught.value.problem.reaction is Reaction.HUMAN
        assert len(hell.accounts) == 1


async def test_a_key_that_has_an_account_cannot_become_anothers() -> None:
    """R29: 409 and its Location, which Pebble 2.10 does not manage."""
    async with HellCa.start(Options()) as hell:
        other = FakeKey.make()
        async with open_hell(hell, other) as ca:
            url = (await ca.register(terms_agreed=True)).url
        async with open_hell(hell, FakeKey.make()) as ca:
            await ca.register(terms_agreed=True)
            with pytest.raises(CaRefused) as caught:
                await ca.rollover(other)
            assert caught.value.problem.status == 409
            assert url in caught.value.hint
            await ca.fetch_account()


async def test_a_pending_replacement_is_resumed_and_not_doubled(responder: Responder) -> None:
    """CA32: Boulder says alreadyReplaced while our own replacement is pending; the retry gets that same order."""
    async with (
        HellCa.start(Options(http_port=responder.port, bad_nonce=0)) as hell,
        open_hell(hell, FakeKey.make()) as ca,
    ):
        await ca.register(terms_agreed=True)
        _, chains = await issue(ca, ["a.localhost"], prepare=responder.prepare)
        wanted = NewOrder(parse_identifiers(["a.localhost"]), replaces=cert_id(chains.default.leaf))
        first = await ca.new_order(wanted)
        hell.forget()
        again = await ca.new_order(wanted)
        assert again.url == first.url
        assert hell.count("new-order") <= 2


async def test_renewal_information_and_an_incident(responder: Responder) -> None:
    """RFC 9773: the ids of serials with and without a leading zero; Boulder's windows."""
    async with (
        HellCa.start(Options(http_port=responder.port)) as hell,
        open_hell(hell, FakeKey.make()) as ca,
    ):
        await ca.register(terms_agreed=True)
        leaves = [(await issue(ca, ["a.localhost"], prepare=responder.prepare))[1].default.leaf for _ in range(4)]
        for der in leaves:
            leaf = x509.load_der_x509_certificate(der)
            usual = await ca.renewal_info(cert_id(der) or NO_ID)
            assert leaf.not_valid_before_utc < usual.start < usual.end < leaf.not_valid_after_utc
        start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
        told, cert = pem_of(leaves[0]), cert_id(leaves[0]) or NO_ID
        hell.ca.set_renewal_info(told, start, end, "https://ca.example/incident")
        incident = await ca.renewal_info(cert)
        assert (incident.start, incident.end) == (start, end)
        assert incident.explanation_url == "https://ca.example/incident"
        hell.ca.set_renewal_info(told, end, start)
        with pytest.raises(CaProtocolError, match="suggestedWindow"):
            await ca.renewal_info(cert)


async def test_a_profile_decides_the_lifetime(responder: Responder) -> None:
    """A1.5."""
    options = Options(http_port=responder.port, profiles={"default": timedelta(days=90), "brief": timedelta(minutes=5)})
    async with HellCa.start(options) as hell, open_hell(hell, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        order, chains = await issue(ca, ["a.localhost"], prepare=responder.prepare, profile="brief")
        leaf = x509.load_der_x509_certificate(chains.default.leaf)
        assert order.profile == "brief"
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(minutes=6)


async def test_a_certificate_is_revoked_by_its_account_and_by_its_key(responder: Responder) -> None:
    """R39."""
    key = ec.generate_private_key(ec.SECP256R1())
    async with HellCa.start(Options(http_port=responder.port)) as hell:
        async with open_hell(hell, FakeKey.make()) as ca:
            await ca.register(terms_agreed=True)
            _, first = await issue(ca, ["a.localhost"], prepare=responder.prepare)
            _, second = await issue(ca, ["b.localhost"], key, prepare=responder.prepare)
            for _ in range(2):
                await ca.revoke(first.default.leaf, RevocationReason.SUPERSEDED)
        async with open_hell(hell, FakeKey.make()) as stranger:
            await stranger.revoke_with_certificate_key(
                FakeKey(key, KeyType.EC256), second.default.leaf, RevocationReason.KEY_COMPROMISE
            )
        reasons = [hell.ca.certificate_of(pem_of(c.default.leaf)).revocation_reason for c in (first, second)]
        assert reasons == [4, 1]


async def test_orders_are_listed_and_abandoned() -> None:
    """R18, R38."""
    async with HellCa.start(Options(orders_per_page=2)) as hell, open_hell(hell, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        made = [await ca.new_order(NewOrder(parse_identifiers([f"{n}.localhost"]))) for n in range(5)]
        assert set(await ca.list_orders() or ()) == {order.url for order in made}
        found = await ca.deactivate_authorization(made[0].authorizations[0])
        assert found.status is AuthorizationStatus.DEACTIVATED
        assert (await ca.fetch_order(made[0].url)).status is OrderStatus.INVALID


async def test_lost_replies_cost_neither_accounts_nor_certificates(responder: Responder) -> None:
    """R24, R33: the CA did it and nobody heard; what is asked next finds it done."""
    async with (
        HellCa.start(Options(http_port=responder.port, bad_nonce=0)) as hell,
        open_hell(hell, FakeKey.make()) as ca,
    ):
        hell.fault("new-account", lose_reply())
        await ca.register(terms_agreed=True)
        wanted = NewOrder(parse_identifiers(["a.localhost"]))
        hell.fault("new-order", lose_reply())
        with pytest.raises(CaUnreachable):
            await ca.new_order(wanted)
        order = await ca.new_order(wanted)
        assert len(hell.orders) == 1
        authorization = await ca.fetch_authorization(order.authorizations[0])
        hell.fault("challenge", lose_reply())
        await ca.answer(await responder.prepare(ca, authorization))
        order = await poll(ca, order, OrderStatus.PENDING)
        hell.fault("finalize", lose_reply())
        with pytest.raises(CaUnreachable):
            await ca.finalize(order, make_csr(["a.localhost"]))
        order = await poll(ca, await ca.fetch_order(order.url), OrderStatus.PROCESSING, OrderStatus.READY)
        hell.fault("certificate", lose_reply(), times=2)
        await ca.download(order)
        assert (len(hell.accounts), len(hell.orders), len(hell.certificates)) == (1, 1, 1)


async def test_stale_nonces_cost_one_request_each() -> None:
    """R11: after hours of silence every pooled nonce is refused; the refusal brings the next one."""
    async with HellCa.start(Options.friendly()) as hell, open_hell(hell, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        orders = [await ca.new_order(NewOrder(parse_identifiers([f"{n}.localhost"]))) for n in range(10)]
        await asyncio.gather(*(ca.fetch_order(order.url) for order in orders))
        hell.ca.forget_nonces()
        hell.forget()
        await asyncio.gather(*(ca.fetch_order(order.url) for order in orders))
        assert hell.counts()["order"] <= 20


async def test_a_limit_is_told_with_its_moment() -> None:
    """R14: as an absolute moment on our clock; not slept, not tried again."""
    async with HellCa.start(Options(bad_nonce=0)) as hell, open_hell(hell, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        hell.fault("new-order", problem("rateLimited", status=429, retry_after="3600"))
        with pytest.raises(CaRefused) as caught:
            await ca.new_order(NewOrder(parse_identifiers(["a.localhost"])))
        until = caught.value.problem.retry_after
        assert until is not None
        assert timedelta(minutes=59) < until - CLOCK.now() <= timedelta(hours=1)
        assert hell.count("new-order") == 1
