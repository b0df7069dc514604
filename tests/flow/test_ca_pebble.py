"""The conversation with real CAs: Pebble, strict, current and Debian's old one (RFC 8555, RFC 9773, profiles)."""

import base64
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certd.ca.cert_id import cert_id
from certd.ca.client import AcmeClient, open_ca
from certd.model.acme import (
    AccountStatus,
    AccountUrl,
    AuthorizationStatus,
    Chains,
    ChallengeType,
    NewOrder,
    Order,
    OrderStatus,
    RevocationReason,
)
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable, ConfigError
from certd.model.identifiers import parse_identifiers
from certd.model.keys import KeyType
from certd.model.problems import Reaction
from certd.model.secret import Secret
from tests.fakes.signing import FakeKey
from tests.flow.conftest import StartPebble
from tests.servers.pebble import Flavour, Pebble, PebbleOptions
from tests.unit.ca import issuance
from tests.unit.ca.csr import make_csr
from tests.unit.ca.issuance import CLOCK, USUAL_OUTAGES, Steps, poll

pytestmark = pytest.mark.server("pebble")

EASY = PebbleOptions(always_valid=True, authz_reuse=0)


@asynccontextmanager
async def open_pebble(
    pebble: Pebble, key: FakeKey, account: AccountUrl | None = None, **options: Any
) -> AsyncIterator[AcmeClient]:
    async with open_ca(
        pebble.directory_url,
        key=key,
        account_url=account,
        clock=CLOCK,
        random=random.Random(7),
        ca_bundle=pebble.ca_bundle,
        **options,
    ) as ca:
        yield ca


async def issue(ca: AcmeClient, names: Sequence[str], *args: Any, **wanted: Any) -> tuple[Order, Chains]:
    """Pebble picks a profile by chance where none is asked for."""
    return await issuance.issue(ca, names, *args, **({"profile": "default"} | wanted))


@pytest.mark.parametrize(("nonce_reject", "most_outages"), [(5, 0), (50, USUAL_OUTAGES)])
async def test_an_order_with_names_a_wildcard_and_addresses_is_issued(
    start_pebble: StartPebble, nonce_reject: int, most_outages: int
) -> None:
    """R11, R20, R31: strict Pebble, refusing one nonce of twenty and one of two (there a step may need another ten)."""
    pebble = await start_pebble(replace(EASY, nonce_reject=nonce_reject))
    steps = Steps(most_outages)
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await steps.make(ca.register, contact=["mailto:a@example.org"], terms_agreed=True)
        names = ["a.example", "*.a.example", "127.0.0.1", "::1"]
        for _ in range(4):
            await issue(ca, names, steps=steps)
        _, chains = await issue(ca, names, steps=steps)
        leaf = x509.load_der_x509_certificate(chains.default.leaf)
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in found} == set(names)


async def test_a_warm_account_needs_seven_requests_for_a_certificate(start_pebble: StartPebble) -> None:
    """R9: newOrder, authorization, challenge, poll, finalize, poll, certificate; counted at the CA."""
    pebble = await start_pebble(replace(EASY, nonce_reject=0))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        before = pebble.request_count()
        order, _ = await issue(ca, ["a.example"])
        polls = pebble.request_table()["order"]
        assert pebble.request_count() - before == 5 + polls
        assert ca.requests.total() == pebble.request_count()
        assert order.certificate


@pytest.mark.parametrize("type_", [ChallengeType.HTTP_01, ChallengeType.DNS_01, ChallengeType.TLS_ALPN_01])
async def test_pebble_accepts_the_key_authorization_for_each_type(
    start_pebble: StartPebble, type_: ChallengeType
) -> None:
    """R41: Pebble computes the thumbprint itself and really validates."""
    pebble = await start_pebble(PebbleOptions(authz_reuse=0))
    srv = pebble.challtestsrv
    async with open_pebble(pebble, FakeKey.make(KeyType.EC384)) as ca:
        await ca.register(terms_agreed=True)
        order = await ca.new_order(NewOrder(parse_identifiers(["b.example"])))
        authorization = await ca.fetch_authorization(order.authorizations[0])
        challenge = next(c for c in authorization.challenges if c.type is type_)
        proof = ca.key_authorization(challenge.token)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(proof.encode())
        value = base64.urlsafe_b64encode(digest.finalize()).rstrip(b"=").decode()
        await srv.add_http01(challenge.token, proof)
        await srv.set_txt("_acme-challenge.b.example", value)
        await srv.add_tls_alpn01("b.example", proof)
        await ca.answer(challenge)
        order = await poll(ca, order, OrderStatus.PENDING)
        assert order.status is OrderStatus.READY


async def test_a_failed_validation_is_shown_with_the_words_of_the_ca(start_pebble: StartPebble) -> None:
    """R22, R40: the order becomes invalid, the challenge says why."""
    pebble = await start_pebble(PebbleOptions(authz_reuse=0))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        order = await ca.new_order(NewOrder(parse_identifiers(["c.example"])))
        authorization = await ca.fetch_authorization(order.authorizations[0])
        await ca.answer(next(c for c in authorization.challenges if c.type is ChallengeType.DNS_01))
        order = await poll(ca, order, OrderStatus.PENDING)
        failed = await ca.fetch_authorization(order.authorizations[0])
    assert (order.status, failed.status) == (OrderStatus.INVALID, AuthorizationStatus.INVALID)
    assert failed.problem is not None
    assert failed.problem.kind == "unauthorized"
    assert failed.problem.detail


@pytest.mark.parametrize("type_", [KeyType.EC256, KeyType.EC384, KeyType.RSA2048])
async def test_the_life_of_an_account(start_pebble: StartPebble, type_: KeyType) -> None:
    """R24, R26, R29, R30: made, found, changed, re-keyed, ended; with each kind of key."""
    pebble = await start_pebble(EASY)
    old, new = FakeKey.make(type_), FakeKey.make()
    async with open_pebble(pebble, old) as ca:
        with pytest.raises(CaRefused) as caught:
            await ca.find_account()
        assert caught.value.problem.reaction is Reaction.REPAIR
        made = await ca.register(contact=["mailto:a@example.org"], terms_agreed=True)
        assert made.url == (await ca.register(terms_agreed=True)).url == (await ca.find_account()).url
        assert (await ca.update_account(["mailto:b@example.org"])).contact == ("mailto:b@example.org",)
        await ca.rollover(new)
        assert (await ca.fetch_account()).url == made.url
    async with open_pebble(pebble, old) as ca:
        with pytest.raises(CaRefused):
            await ca.find_account()
    async with open_pebble(pebble, new, made.url) as ca:
        assert (await ca.deactivate_account()).status is AccountStatus.DEACTIVATED
        with pytest.raises(CaRefused) as caught:
            await ca.new_order(NewOrder(parse_identifiers(["a.example"])))
        assert caught.value.problem.kind == "unauthorized"
        assert caught.value.problem.reaction is Reaction.HUMAN


async def test_a_key_that_has_an_account_cannot_become_anothers(start_pebble: StartPebble) -> None:
    """R29: Pebble 2.10 answers 200 and changes nothing (it misses its own 409), so the proof after it must tell."""
    pebble = await start_pebble(EASY)
    other = FakeKey.make()
    async with open_pebble(pebble, other) as ca:
        url = (await ca.register(terms_agreed=True)).url
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        with pytest.raises(CaRefused) as caught:
            await ca.rollover(other)
        assert caught.value.problem.status == 409
        assert url in str(caught.value)
        await ca.fetch_account()


@dataclass(frozen=True)
class External:
    kid: str
    mac_key: Secret[str]
    algorithm: str = "HS256"


async def test_an_external_account_is_bound(start_pebble: StartPebble) -> None:
    """R28: missing, wrong, right."""
    mac = base64.urlsafe_b64encode(bytes(range(220, 252))).rstrip(b"=").decode()
    pebble = await start_pebble(replace(EASY, eab_keys={"kid-1": mac}))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        assert (await ca.directory()).external_account_required
        with pytest.raises(CaRefused) as caught:
            await ca.register(terms_agreed=True)
        assert caught.value.problem.kind == "externalAccountRequired"
        for wrong in (External("kid-1", Secret(mac[::-1])), External("kid-2", Secret(mac))):
            with pytest.raises(CaRefused) as caught:
                await ca.register(terms_agreed=True, external=wrong)
            assert wrong.mac_key.reveal() not in str(caught.value)
        made = await ca.register(terms_agreed=True, external=External("kid-1", Secret(mac)))
        assert made.status is AccountStatus.VALID


async def test_a_profile_decides_the_lifetime(start_pebble: StartPebble) -> None:
    """A1.5: asked for by name; one that is not advertised is not asked for."""
    pebble = await start_pebble(replace(EASY, profiles={"default": 90 * 86400, "shortlived": 160 * 3600}))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        order, chains = await issue(ca, ["a.example"], profile="shortlived")
        assert order.profile == "shortlived"
        leaf = x509.load_der_x509_certificate(chains.default.leaf)
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(hours=161)
        with pytest.raises(ConfigError, match="default, shortlived"):
            await issue(ca, ["a.example"], profile="tlsclient")


async def test_a_certificate_is_replaced_once_and_then_without_saying_so(start_pebble: StartPebble) -> None:
    """CA32: a second replacement of the same certificate is refused for `replaces`, and ordered without."""
    pebble = await start_pebble(replace(EASY, nonce_reject=0))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        _, chains = await issue(ca, ["a.example"])
        predecessor = cert_id(chains.default.leaf)
        assert predecessor is not None
        await issue(ca, ["a.example"], replaces=predecessor)
        before = pebble.request_table()["newOrder"]
        await issue(ca, ["a.example"], replaces=predecessor)
        assert pebble.request_table()["newOrder"] - before == 2


async def test_renewal_information_follows_the_ca(start_pebble: StartPebble) -> None:
    """RFC 9773: the window, what the CA says of an incident, and broken answers."""
    pebble = await start_pebble(EASY)
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        _, chains = await issue(ca, ["a.example"])
        leaf = x509.load_der_x509_certificate(chains.default.leaf)
        cert = cert_id(chains.default.leaf)
        assert cert is not None
        usual = await ca.renewal_info(cert)
        assert leaf.not_valid_before_utc < usual.start < usual.end < leaf.not_valid_after_utc
        assert timedelta(minutes=1) <= usual.retry_after - CLOCK.now() <= timedelta(days=1)
        pem = leaf.public_bytes(Encoding.PEM).decode()
        window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
        why = "https://ca.example/incident"
        await pebble.set_renewal_info(pem, json.dumps({"suggestedWindow": window, "explanationURL": why}))
        incident = await ca.renewal_info(cert)
        assert (incident.end, incident.explanation_url) == (datetime(2026, 1, 2, tzinfo=UTC), why)
        inverted = {"start": window["end"], "end": window["start"]}
        for broken in ("{broken", "[]", json.dumps({"suggestedWindow": inverted})):
            await pebble.set_renewal_info(pem, broken)
            with pytest.raises(CaProtocolError):
                await ca.renewal_info(cert)


async def test_a_certificate_is_revoked_by_its_account_and_by_its_key(start_pebble: StartPebble) -> None:
    """R39: both ways, looked at in Pebble; a second time is a success."""
    pebble = await start_pebble(EASY)
    key = ec.generate_private_key(ec.SECP256R1())
    account = FakeKey.make()
    async with open_pebble(pebble, account) as ca:
        await ca.register(terms_agreed=True)
        _, first = await issue(ca, ["a.example"])
        _, second = await issue(ca, ["b.example"], key)
        for _ in range(2):
            await ca.revoke(first.default.leaf, RevocationReason.SUPERSEDED)
        with pytest.raises(CaRefused):
            await ca.revoke_with_certificate_key(FakeKey.make(), second.default.leaf)
    async with open_pebble(pebble, FakeKey.make()) as stranger:
        await stranger.revoke_with_certificate_key(
            FakeKey(key, KeyType.EC256), second.default.leaf, RevocationReason.KEY_COMPROMISE
        )
    for chains, reason in ((first, 4), (second, 1)):
        serial = x509.load_der_x509_certificate(chains.default.leaf).serial_number
        status = await pebble.certificate_status(serial)
        assert (status["Status"], status["Reason"]) == ("Revoked", reason)


async def test_alternate_chains_are_found_behind_their_links(start_pebble: StartPebble) -> None:
    """R34: three roots, two intermediates in each chain; the same leaf in all."""
    pebble = await start_pebble(replace(EASY, alternate_roots=2, chain_length=2))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        _, chains = await issue(ca, ["a.example"])
    assert len(chains.alternates) == 2
    assert {chain.leaf for chain in chains.alternates} == {chains.default.leaf}
    last = {x509.load_der_x509_certificate(c.certificates[-1]).issuer for c in (chains.default, *chains.alternates)}
    roots = {x509.load_pem_x509_certificate(pem.encode()).subject for pem in await pebble.roots()}
    assert last == roots


async def test_orders_are_listed_page_by_page(start_pebble: StartPebble) -> None:
    """R18: two a page."""
    pebble = await start_pebble(replace(EASY, orders_per_page=2))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        made = {(await ca.new_order(NewOrder(parse_identifiers([f"{n}.example"])))).url for n in range(5)}
        listed = await ca.list_orders()
    assert listed is not None
    assert set(listed) == made


async def test_a_deactivated_authorization_ends_its_order(start_pebble: StartPebble) -> None:
    """R38: how an order is abandoned."""
    pebble = await start_pebble(EASY)
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        order = await ca.new_order(NewOrder(parse_identifiers(["a.example"])))
        found = await ca.deactivate_authorization(order.authorizations[0])
        assert found.status is AuthorizationStatus.DEACTIVATED
        assert (await ca.fetch_order(order.url)).status is OrderStatus.INVALID


async def test_what_pebble_refuses_has_its_reaction(start_pebble: StartPebble) -> None:
    """R16, R32, R39: a blocked name, a CSR with another name, an order that is not ready, a certificate of nobody."""
    pebble = await start_pebble(replace(EASY, blocked_names=("blocked.example",)))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        with pytest.raises(CaRefused) as caught:
            await ca.new_order(NewOrder(parse_identifiers(["a.example", "blocked.example"])))
        assert caught.value.problem.reaction is Reaction.CONFIGURATION
        order = await ca.new_order(NewOrder(parse_identifiers(["a.example"])))
        with pytest.raises(CaRefused) as caught:
            await ca.finalize(order, make_csr(["a.example"]))
        assert caught.value.problem.reaction is Reaction.POLL
        authorization = await ca.fetch_authorization(order.authorizations[0])
        await ca.answer(authorization.challenges[0])
        order = await poll(ca, order, OrderStatus.PENDING)
        with pytest.raises(CaRefused) as caught:
            await ca.finalize(order, make_csr(["other.example"]))
        assert order.status is OrderStatus.READY
        order = await ca.finalize(order, make_csr(["a.example"]))
        order = await poll(ca, order, OrderStatus.PROCESSING)
        assert order.status is OrderStatus.VALID


async def test_debians_pebble_has_an_old_directory(start_pebble: StartPebble) -> None:
    """R17: no renewalInfo, no profiles; `replaces` stays at home."""
    pebble = await start_pebble(replace(EASY, flavour=Flavour.DEBIAN))
    async with open_pebble(pebble, FakeKey.make()) as ca:
        await ca.register(terms_agreed=True)
        directory = await ca.directory()
        assert (directory.renewal_info, directory.profiles) == ("", None)
        names = ["a.example", "*.a.example", "127.0.0.1"]
        _, chains = await issue(ca, names, profile="")
        await issue(ca, names, profile="", replaces=cert_id(chains.default.leaf))


async def test_a_new_process_goes_on_with_what_the_old_one_knew(start_pebble: StartPebble) -> None:
    """The directory's snapshot and the account's URL save two requests; the order is the same one."""
    pebble = await start_pebble(replace(EASY, nonce_reject=0))
    key = FakeKey.make()
    async with open_pebble(pebble, key) as ca:
        account = (await ca.register(terms_agreed=True)).url
        order = await ca.new_order(NewOrder(parse_identifiers(["a.example"])))
        snapshot = ca.fetched_directory
    assert snapshot is not None
    async with open_pebble(pebble, key, account, directory=(snapshot, CLOCK.now())) as ca:
        again = await ca.fetch_order(order.url)
        assert ca.requests.total() == 2  # newNonce and order
    assert again.identifiers == order.identifiers


async def test_a_ca_that_is_not_trusted_or_not_there_is_said(start_pebble: StartPebble, tmp_path: Path) -> None:
    """CA4: the private root is needed, and named as the way out."""
    pebble = await start_pebble(EASY)
    async with open_ca(
        pebble.directory_url, key=FakeKey.make(), account_url=None, clock=CLOCK, random=random.Random(7)
    ) as ca:
        with pytest.raises(CaUnreachable, match="certificate is not accepted") as caught:
            await ca.directory()
    assert "--ca-bundle" in caught.value.hint
