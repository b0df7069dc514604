"""Accounts: one key, one account; found again, changed, re-keyed and ended (RFC 8555 §7.3)."""

from dataclasses import dataclass

import pytest

from certd.model.acme import AccountStatus, NewOrder
from certd.model.errors import CaError, CaProtocolError, CaRefused, CaUnreachable
from certd.model.identifiers import parse_identifiers
from certd.model.keys import KeyType
from certd.model.problems import Reaction
from certd.model.secret import Secret
from tests.fakes.signing import FakeKey
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import after, body, changed, lost, problem, reply
from tests.unit.ca.state import b64

ONE = NewOrder(parse_identifiers(["example.org"]))
MAC_KEY = b"\xfb\xff" * 16


@dataclass(frozen=True)
class External:
    kid: str
    mac_key: Secret[str]
    algorithm: str = "HS256"


@pytest.mark.parametrize("type_", [KeyType.EC256, KeyType.EC384, KeyType.RSA2048])
async def test_an_account_is_made_with_each_kind_of_key(fake: FakeCa, connect: Connect, type_: KeyType) -> None:
    """R6, R7: newAccount by `jwk`, then an order by `kid`."""
    ca = await connect(key=FakeKey.make(type_), registered=False)
    account = await ca.register(contact=["mailto:a@example.org"], terms_agreed=True)
    assert account.url == ca.account_url == f"{fake.base}/account/1"
    assert (account.status, account.contact) == (AccountStatus.VALID, ("mailto:a@example.org",))
    await ca.new_order(ONE)
    sent = fake.last("newOrder").protected
    assert sent is not None
    assert sent["kid"] == account.url


async def test_the_same_key_finds_the_same_account(fake: FakeCa, connect: Connect) -> None:
    """R24: 200 instead of 201, and no second account."""
    key = FakeKey.make()
    first, second = await connect(key=key), await connect(key=key)
    assert first.account_url == second.account_url
    assert len(fake.state.accounts) == 1


async def test_a_lost_reply_to_newaccount_costs_no_second_account(fake: FakeCa, connect: Connect) -> None:
    """R24: the next try, of this process or the next, finds what the lost one made."""
    key = FakeKey.make()
    fake.next("newAccount", lost(handled=True), lost(handled=True))
    with pytest.raises(CaUnreachable):
        await connect(key=key)
    ca = await connect(key=key)
    assert len(fake.state.accounts) == 1
    assert ca.account_url == f"{fake.base}/account/1"


async def test_an_account_without_location_is_refused(fake: FakeCa, connect: Connect) -> None:
    """R24: `Location` is required; without it nothing could be signed."""
    fake.next("newAccount", after(Location=""))
    with pytest.raises(CaProtocolError, match="no Location"):
        await connect()


async def test_the_kid_is_the_location_octet_by_octet(fake: FakeCa, connect: Connect) -> None:
    """R7, R10: a server compares it as a string."""
    odd = f"{fake.base}/account/1"
    fake.next("newAccount", after(Location=f"{fake.base}/account/%2E%2e/1?"))
    ca = await connect()
    assert ca.account_url == f"{fake.base}/account/%2E%2e/1?"
    with pytest.raises(CaRefused):
        await ca.new_order(ONE)
    sent = fake.last("newOrder").protected
    assert sent is not None
    assert sent["kid"] == f"{fake.base}/account/%2E%2e/1?" != odd


async def test_terms_are_agreed_to_only_when_a_person_did(fake: FakeCa, connect: Connect) -> None:
    """R25: SHOULD NOT agree by default; the refusal comes through."""
    ca = await connect(registered=False)
    with pytest.raises(CaRefused) as caught:
        await ca.register(terms_agreed=False)
    assert caught.value.problem.reaction is Reaction.HUMAN
    assert fake.last("newAccount").payload == {}
    await ca.register(terms_agreed=True)
    assert fake.last("newAccount").payload == {"termsOfServiceAgreed": True}


async def test_an_account_is_looked_up_by_its_key(fake: FakeCa, connect: Connect) -> None:
    """R26: `onlyReturnExisting`; nothing is made."""
    key = FakeKey.make()
    lost_url = await connect(key=key, registered=False)
    with pytest.raises(CaRefused) as caught:
        await lost_url.find_account()
    assert caught.value.problem.reaction is Reaction.REPAIR
    assert fake.state.accounts == {}
    known = await connect(key=key)
    assert (await lost_url.find_account()).url == known.account_url
    assert fake.last("newAccount").payload == {"onlyReturnExisting": True}


async def test_a_ca_that_lost_its_accounts_says_so(fake: FakeCa, connect: Connect) -> None:
    """CA6, R26: the repair is the workflow's; the client registers nothing by itself."""
    ca = await connect()
    fake.state.accounts.clear()
    fake.state.jwks.clear()
    with pytest.raises(CaRefused) as caught:
        await ca.new_order(ONE)
    assert caught.value.problem.reaction is Reaction.REPAIR
    assert fake.count("newAccount") == 1


async def test_a_known_account_needs_no_newaccount(fake: FakeCa, connect: Connect) -> None:
    """A new process goes on with the stored URL: one request for an order, its nonce and the directory."""
    key = FakeKey.make()
    url = (await connect(key=key)).account_url
    ca = await connect(key=key, registered=False, account_url=url)
    await ca.new_order(ONE)
    assert fake.count("newAccount") == 1


async def test_without_an_account_nothing_is_signed_for_one(fake: FakeCa, connect: Connect) -> None:
    ca = await connect(registered=False)
    with pytest.raises(CaError, match="no account"):
        await ca.new_order(ONE)
    with pytest.raises(CaError, match="no account"):
        await ca.fetch_account()
    assert fake.count("newOrder") == fake.count("account") == 0


async def test_contacts_are_replaced_and_removed(fake: FakeCa, connect: Connect) -> None:
    """§7.3.2: an empty list removes all."""
    ca = await connect()
    assert (await ca.update_account(["mailto:b@example.org"])).contact == ("mailto:b@example.org",)
    assert (await ca.update_account([])).contact == ()
    assert fake.last("account").payload == {"contact": []}


async def test_a_deactivated_account_stays_deactivated(fake: FakeCa, connect: Connect) -> None:
    """R30: 401 unauthorized is for a person; no loop, no silent new account."""
    ca = await connect()
    assert (await ca.deactivate_account()).status is AccountStatus.DEACTIVATED
    with pytest.raises(CaRefused) as caught:
        await ca.new_order(ONE)
    assert (caught.value.problem.status, caught.value.problem.reaction) == (401, Reaction.HUMAN)
    assert (fake.count("newOrder"), fake.count("newAccount")) == (1, 1)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_an_external_account_is_bound(fake: FakeCa, connect: Connect, algorithm: str) -> None:
    """R28: verified by the fake with the MAC key, over exactly this account's JWK."""
    fake.state.eab_keys = {"kid-1": MAC_KEY}
    ca = await connect(registered=False)
    external = External("kid-1", Secret(b64(MAC_KEY)), algorithm)
    assert (await ca.register(terms_agreed=True, external=external)).status is AccountStatus.VALID


BAD_EAB = {
    "missing": (None, "externalAccountRequired"),
    "wrong key": (External("kid-1", Secret(b64(b"other" * 6))), "unauthorized"),
    "unknown kid": (External("kid-2", Secret(b64(MAC_KEY))), "unauthorized"),
}


@pytest.mark.parametrize(("external", "kind"), BAD_EAB.values(), ids=BAD_EAB)
async def test_a_missing_or_wrong_binding_is_refused_without_showing_the_key(
    fake: FakeCa, connect: Connect, external: External | None, kind: str
) -> None:
    """R28: missing, wrong, unknown; the MAC key is in no message."""
    fake.state.eab_keys = {"kid-1": MAC_KEY}
    ca = await connect(registered=False)
    with pytest.raises(CaRefused) as caught:
        await ca.register(terms_agreed=True, external=external)
    assert caught.value.problem.kind == kind
    if external is not None:
        shown = repr(caught.value) + str(caught.value) + repr(external)
        assert external.mac_key.reveal() not in shown


@pytest.mark.parametrize("type_", [KeyType.EC256, KeyType.EC384, KeyType.RSA2048])
async def test_a_key_is_rolled_over_and_the_conversation_goes_on_with_the_new_one(
    fake: FakeCa, connect: Connect, type_: KeyType
) -> None:
    """R29: outer by the old key, inner by the new one with `jwk`, the same url, no nonce; checked by the fake."""
    old, new = FakeKey.make(), FakeKey.make(type_)
    ca = await connect(key=old)
    before = ca.key_authorization("t")
    await ca.rollover(new)
    await ca.new_order(ONE)
    assert new.signatures >= 2
    assert ca.key_authorization("t") != before
    stale = await connect(key=old, registered=False)
    with pytest.raises(CaRefused):
        await stale.find_account()
    again = await connect(key=new, registered=False)
    assert (await again.find_account()).url == ca.account_url


async def test_a_rollover_to_a_key_with_an_account_names_that_account(fake: FakeCa, connect: Connect) -> None:
    """R29: 409 and Location; the old key stays in use."""
    other = FakeKey.make()
    await connect(key=other)
    ca = await connect()
    fake.next("keyChange", after(Location=f"{fake.base}/account/1"))
    with pytest.raises(CaRefused) as caught:
        await ca.rollover(other)
    assert caught.value.problem.status == 409
    assert f"{fake.base}/account/1" in caught.value.hint
    await ca.new_order(ONE)


async def test_a_rollover_that_did_not_happen_is_no_success(fake: FakeCa, connect: Connect) -> None:
    """R29: a CA that says 200 and changes nothing; the key is another account's, or nobody's."""
    other = FakeKey.make()
    await connect(key=other)
    ca = await connect()
    fake.always("keyChange", reply(200))
    with pytest.raises(CaRefused, match="account/1"):
        await ca.rollover(other)
    with pytest.raises(CaUnreachable, match="does not know it") as caught:
        await ca.rollover(FakeKey.make())
    assert "both keys are kept" in caught.value.hint
    assert (await ca.fetch_account()).status is AccountStatus.VALID


@pytest.mark.parametrize("code", [400, 403, 429, 500, 503])
async def test_a_proof_that_is_refused_makes_nobody_forget_the_new_key(
    fake: FakeCa, connect: Connect, code: int
) -> None:
    """R29: CaRefused would say that the old key stands, which is not known then."""
    ca = await connect()
    fake.always("newAccount", problem("serverInternal", code))
    with pytest.raises(CaUnreachable):
        await ca.rollover(FakeKey.make())


async def test_a_lost_reply_to_keychange_leaves_both_keys_to_be_tried(fake: FakeCa, connect: Connect) -> None:
    """R29: not repeated; which key the CA knows is found out by asking with each."""
    new = FakeKey.make()
    ca = await connect()
    fake.next("keyChange", lost(handled=True))
    with pytest.raises(CaUnreachable):
        await ca.rollover(new)
    assert fake.count("keyChange") == 1
    proof = await connect(key=new, registered=False)
    assert (await proof.find_account()).url == ca.account_url


async def test_orders_are_listed_page_by_page(fake: FakeCa, connect: Connect) -> None:
    """R18: `Link rel=next`."""
    ca = await connect()
    made = [(await ca.new_order(ONE)).url for _ in range(5)]
    assert await ca.list_orders() == tuple(made)
    assert fake.count("orders") == 3


async def test_a_ca_without_a_list_of_orders_has_none(fake: FakeCa, connect: Connect) -> None:
    """R18: Boulder has no `orders`."""
    ca = await connect()
    fake.next("account", changed(lambda account: account.pop("orders")))
    assert await ca.list_orders() is None


async def test_a_list_that_comes_back_to_itself_ends(fake: FakeCa, connect: Connect) -> None:
    """R18: a loop in `next`."""
    ca = await connect()
    fake.always("orders", after(Link=f'<{fake.base}/orders/1>;rel="next"'))
    with pytest.raises(CaProtocolError, match="does not end"):
        await ca.list_orders()
    assert fake.count("orders") == 1


async def test_a_list_with_ever_new_pages_ends(fake: FakeCa, connect: Connect) -> None:
    """R18: a hundred pages are enough."""
    ca = await connect()
    for number in range(200):
        fake.next("orders", after(Link=f'<{fake.base}/orders/1?cursor={number}>;rel="next"'))
    with pytest.raises(CaProtocolError, match="does not end"):
        await ca.list_orders()
    assert fake.count("orders") == 100


async def test_a_million_orders_are_too_many(fake: FakeCa, connect: Connect) -> None:
    """R18: 10^6 entries do not fit the body's limit; fewer do not fit the list's."""
    ca = await connect()
    for count, word in ((1_000_000, "longer than"), (20_000, "20000 entries")):
        text = b'{"orders":[' + b",".join([b'"https://a/1"'] * count) + b"]}"
        fake.next("orders", body(text))
        with pytest.raises(CaProtocolError, match=word):
            await ca.list_orders()


async def test_a_status_that_the_rfc_does_not_have_is_unknown(fake: FakeCa, connect: Connect) -> None:
    ca = await connect()
    fake.next("account", changed(lambda account: account.update(status="resting")))
    assert (await ca.fetch_account()).status is AccountStatus.UNKNOWN
