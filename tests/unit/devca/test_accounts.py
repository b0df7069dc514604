"""Accounts: RFC 8555 §7.3."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certd.devca import DevCa, Options
from certd.devca.records import AccountStatus, AuthorizationStatus
from tests.unit.devca.conftest import Connect
from tests.unit.devca.flow import issue
from tests.unit.devca.raw_client import Answer, Key, RawClient, jwk_of, new_key
from tests.unit.devca.responders import HttpResponder

MAC_KEY = b"0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "P-521", "RSA", "Ed25519"],
)
async def test_accounts_have_keys_of_all_kinds(calm: DevCa, connect: Connect, web80: HttpResponder, key: Key) -> None:
    client = connect(calm)
    client.key = key
    order, _ = await issue(client, web80, "a.test")
    assert order["status"] == "valid"


async def test_one_key_is_one_account(calm: DevCa, connect: Connect) -> None:
    client = connect(calm)
    made = await client.register(contact=["mailto:a@example.org"])
    again = await client.register(contact=["mailto:b@example.org"])
    looked_up = await client.register(onlyReturnExisting=True)
    assert [each.status for each in (made, again, looked_up)] == [201, 200, 200]
    assert made.location == again.location == looked_up.location
    assert again.json["contact"] == ["mailto:a@example.org"]
    assert again.json["termsOfServiceAgreed"] is True
    assert len(calm.accounts) == 1


async def test_terms_are_linked_where_they_were_not_agreed_to(calm: DevCa, connect: Connect) -> None:
    client = connect(calm)
    refused = await client.register(termsOfServiceAgreed=False)
    (terms,) = refused.links("terms-of-service")
    assert (refused.status, refused.json["instance"]) == (403, terms)
    assert (await client.load_directory())["meta"]["termsOfService"] == terms
    assert "test CA" in (await client.get(terms)).body.decode()


async def test_contacts_are_changed_and_others_accounts_are_not(calm: DevCa, connect: Connect) -> None:
    client, other = connect(calm), connect(calm)
    await client.register()
    await other.register()
    assert client.kid is not None
    assert other.kid is not None
    changed = await client.post(client.kid, {"contact": ["mailto:c@example.org"]})
    assert changed.json["contact"] == ["mailto:c@example.org"]
    assert (await client.post(client.kid)).json["contact"] == ["mailto:c@example.org"]
    assert (await client.post(other.kid)).problem == "unauthorized"
    assert (await client.post(client.kid, {"status": "revoked"})).problem == "malformed"
    assert (await client.post(client.kid, {"contact": "mailto:c@example.org"})).problem == "malformed"


async def test_a_deactivated_account_is_401_everywhere_and_its_pending_authorizations_end(
    calm: DevCa, connect: Connect
) -> None:
    client = connect(calm)
    await client.register()
    await client.new_order("a.test")
    assert client.kid is not None
    assert (await client.post(client.kid, {"status": "deactivated"})).json["status"] == "deactivated"
    assert [each.status for each in calm.accounts.values()] == [AccountStatus.DEACTIVATED]
    for answer in (await client.new_order("a.test"), await client.post(client.kid), await client.register()):
        assert (answer.status, answer.problem) == (401, "unauthorized")
    authorizations = calm._authority.store.authorizations.values()
    assert [each.status for each in authorizations] == [AuthorizationStatus.DEACTIVATED]


async def test_the_order_list_is_paged_and_leaves_invalid_ones_out(web80: HttpResponder, connect: Connect) -> None:
    options = Options.friendly(http_port=web80.port, orders_per_page=3)
    async with DevCa.start(options) as ca:
        client = connect(ca)
        account = await client.register()
        made = [(await client.new_order(f"n{each}.test")).location for each in range(8)]
        gone = (await client.post(made[4])).json["authorizations"][0]
        await client.post(gone, {"status": "deactivated"})
        found, url = [], account.json["orders"]
        while url:
            page = await client.post(url)
            found += page.json["orders"]
            (url,) = page.links("next") or [""]
        assert found == made[:4] + made[5:]
        assert (await client.post(account.json["orders"] + "?cursor=x")).status == 404


async def test_a_key_is_rolled_over_and_the_old_one_forgotten(
    calm: DevCa, connect: Connect, web80: HttpResponder
) -> None:
    client = connect(calm)
    await client.register()
    old, new = client.key, new_key()
    assert (await _roll(client, new)).status == 200
    assert (await client.new_order("a.test")).problem == "malformed"  # signed by the old key
    client.key = new
    assert (await issue(client, web80, "a.test"))[0]["status"] == "valid"
    client.key = old
    assert (await client.register(onlyReturnExisting=True)).problem == "accountDoesNotExist"


async def test_a_key_that_another_account_has_is_a_conflict_with_its_url(calm: DevCa, connect: Connect) -> None:
    client, other = connect(calm), connect(calm)
    await client.register()
    await other.register()
    refused = await _roll(client, other.key)
    assert (refused.status, refused.location) == (409, other.kid)
    assert (await _roll(client, client.key)).problem == "malformed"


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
async def test_an_external_account_is_bound(connect: Connect, digest: str) -> None:
    async with DevCa.start(Options.friendly(eab_keys={"kid-1": MAC_KEY})) as ca:
        client = connect(ca)
        assert (await client.load_directory())["meta"]["externalAccountRequired"] is True
        binding = client.external_binding("kid-1", MAC_KEY, digest)
        made = await client.register(externalAccountBinding=binding)
        assert (made.status, made.json["externalAccountBinding"]) == (201, binding)
        assert (await client.register()).status == 200


async def _roll(client: RawClient, new: Key) -> Answer:
    url = client.directory["keyChange"]
    header = {"alg": "ES256", "jwk": jwk_of(new), "url": url}
    payload = json.dumps({"account": client.kid, "oldKey": jwk_of(client.key)}).encode()
    return await client.post(url, client.jws(header, payload, key=new))
