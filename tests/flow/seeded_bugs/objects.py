"""Client bugs in what is asked for: accounts, orders, requests, revocation (RFC 8555 §7, RFC 9773)."""

import asyncio
import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.flow.seeded_bugs.place import EAB_KEY, EAB_KID, Place
from tests.unit.devca.conftest import a_moment
from tests.unit.devca.flow import authorize
from tests.unit.devca.raw_client import Answer, Json, RawClient, b64, csr_for, jwk_of, new_key

PATIENCE = 200  # looks, a hundredth of a second apart
AT_ONCE = 8

# Accounts


async def terms_not_agreed_to(place: Place) -> Answer:
    return await (await place.stranger()).register(termsOfServiceAgreed=False)


async def look_up_of_an_account_that_is_not_there(place: Place) -> Answer:
    return await (await place.stranger()).register(onlyReturnExisting=True)


async def telephone_as_contact(place: Place) -> Answer:
    return await (await place.stranger()).register(contact=["tel:+12025551212"])


async def two_addresses_in_one_contact(place: Place) -> Answer:
    return await (await place.stranger()).register(contact=["mailto:a@example.com,b@example.com"])


async def contact_with_header_fields(place: Place) -> Answer:
    return await (await place.stranger()).register(contact=["mailto:a@example.com?subject=x"])


async def deactivated_account_goes_on(place: Place) -> Answer:
    client = await place.client()
    assert client.kid is not None
    assert (await client.post(client.kid, {"status": "deactivated"})).status == 200
    return await client.new_order("objects.test")


async def order_of_another_account(place: Place) -> Answer:
    made = await (await place.client()).new_order("objects.test")
    return await (await place.client()).post(made.location)


async def certificate_of_another_account(place: Place) -> Answer:
    order, _ = await place.issue(await place.client(), "objects.test")
    return await (await place.client()).post(order["certificate"])


async def _key_change(place: Place, header: dict[str, Any], **payload: Any) -> Answer:
    """A key change that would be fine but for what *header* and *payload* say otherwise; None takes away."""
    client, new = await place.client(), new_key()
    url = client.directory["keyChange"]
    protected = {"alg": "ES256", "jwk": jwk_of(new), "url": url} | header
    inner = {"account": client.kid, "oldKey": jwk_of(client.key)} | payload
    jws = client.jws(protected, _json(inner), key=new)
    return await client.post(url, jws)


async def key_change_with_the_wrong_old_key(place: Place) -> Answer:
    return await _key_change(place, {}, oldKey=jwk_of(new_key()))


async def key_change_for_another_account(place: Place) -> Answer:
    return await _key_change(place, {}, account=(await place.client()).kid)


async def key_change_with_another_inner_url(place: Place) -> Answer:
    return await _key_change(place, {"url": (await place.stranger()).directory["newOrder"]})


async def key_change_with_an_inner_nonce(place: Place) -> Answer:
    return await _key_change(place, {"nonce": await (await place.stranger()).new_nonce()})


async def key_change_signed_by_the_old_key(place: Place) -> Answer:
    client, new = await place.client(), new_key()
    url = client.directory["keyChange"]
    inner = _json({"account": client.kid, "oldKey": jwk_of(client.key)})
    jws = client.jws({"alg": "ES256", "jwk": jwk_of(new), "url": url}, inner, key=client.key)
    return await client.post(url, jws)


# External account binding


async def no_binding(place: Place) -> Answer:
    return await (await place.stranger()).register()


async def binding_with_another_mac_key(place: Place) -> Answer:
    client = await place.stranger()
    return await client.register(externalAccountBinding=client.external_binding(EAB_KID, b"x" * 32))


async def binding_with_an_unknown_kid(place: Place) -> Answer:
    client = await place.stranger()
    return await client.register(externalAccountBinding=client.external_binding("nobody", EAB_KEY))


async def binding_of_another_key(place: Place) -> Answer:
    client, other = await place.stranger(), await place.stranger()
    return await client.register(externalAccountBinding=other.external_binding(EAB_KID, EAB_KEY))


async def binding_with_a_nonce(place: Place) -> Answer:
    client = await place.stranger()
    binding = client.external_binding(EAB_KID, EAB_KEY, nonce=await client.new_nonce())
    return await client.register(externalAccountBinding=binding)


async def binding_for_another_url(place: Place) -> Answer:
    client = await place.stranger()
    binding = client.external_binding(EAB_KID, EAB_KEY, url=client.directory["newOrder"])
    return await client.register(externalAccountBinding=binding)


# Orders


async def _order_of(place: Place, *identifiers: Json, **fields: Any) -> Answer:
    client = await place.client()
    return await client.post(client.directory["newOrder"], {"identifiers": list(identifiers)} | fields)


async def no_identifiers(place: Place) -> Answer:
    return await _order_of(place)


async def unknown_identifier_type(place: Place) -> Answer:
    return await _order_of(place, {"type": "email", "value": "a@objects.test"})


async def wildcard_in_the_middle(place: Place) -> Answer:
    return await _order_of(place, {"type": "dns", "value": "a.*.objects.test"})


async def address_as_a_dns_name(place: Place) -> Answer:
    return await _order_of(place, {"type": "dns", "value": "127.0.0.1"})


async def name_with_a_last_dot(place: Place) -> Answer:
    return await _order_of(place, {"type": "dns", "value": "objects.test."})


async def name_in_unicode(place: Place) -> Answer:
    return await _order_of(place, {"type": "dns", "value": "bücher.test"})


async def profile_that_is_not_offered(place: Place) -> Answer:
    return await _order_of(place, {"type": "dns", "value": "objects.test"}, profile="gold")


# Finalize


async def _finalized(place: Place, *asked: str, **more: Any) -> Answer:
    client = await place.client()
    order = await place.ready(client, "a.test", "b.test")
    return await client.finalize(order, csr_for(new_key(), *asked, **more))


async def finalize_before_the_order_is_ready(place: Place) -> Answer:
    client = await place.client()
    order = (await client.new_order("a.test")).json
    return await client.finalize(order, csr_for(new_key(), "a.test"))


async def extra_name_in_the_csr(place: Place) -> Answer:
    return await _finalized(place, "a.test", "b.test", "c.test")


async def name_missing_in_the_csr(place: Place) -> Answer:
    return await _finalized(place, "a.test")


async def other_name_in_the_csr(place: Place) -> Answer:
    return await _finalized(place, "a.test", "c.test")


async def extra_address_in_the_csr(place: Place) -> Answer:
    return await _finalized(place, "a.test", "b.test", "127.0.0.1")


async def account_key_in_the_csr(place: Place) -> Answer:
    client = await place.client()
    order = await place.ready(client, "a.test")
    return await client.finalize(order, csr_for(client.key, "a.test"))


async def csr_with_a_broken_signature(place: Place) -> Answer:
    client = await place.client()
    order = await place.ready(client, "a.test")
    der = bytearray(csr_for(new_key(), "a.test"))
    der[-1] ^= 1
    return await client.finalize(order, bytes(der))


async def padded_csr(place: Place) -> Answer:
    client = await place.client()
    order = await place.ready(client, "a.test")
    csr = csr_for(new_key(), "a.test")
    return await client.post(order["finalize"], {"csr": b64(csr) + "="})


async def csr_as_pem(place: Place) -> Answer:
    client = await place.client()
    order = await place.ready(client, "a.test")
    request = x509.load_der_x509_csr(csr_for(new_key(), "a.test"))
    return await client.finalize(order, request.public_bytes(serialization.Encoding.PEM))


async def weak_key_in_the_csr(place: Place) -> Answer:
    client = await place.client()
    order = await place.ready(client, "a.test")
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the bug
    return await client.finalize(order, csr_for(weak, "a.test"))


# Renewal


async def garbage_as_certificate_id(place: Place) -> Answer:
    return await _order_of(place, {"type": "dns", "value": "a.test"}, replaces="no-dot-in-here")


async def padded_certificate_id(place: Place) -> Answer:
    client = await place.client()
    _, chain = await place.issue(client, "a.test")
    first, _, last = cert_id(chain).partition(".")
    return await client.new_order("a.test", replaces=f"{first}=.{last}=")


async def certificate_id_of_another_issuer(place: Place) -> Answer:
    """What a client sends that changed its CA and forgot to forget."""
    return await _order_of(place, {"type": "dns", "value": "a.test"}, replaces="aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")


async def certificate_id_without_its_zero_octet(place: Place) -> Answer:
    """The serial as a number without the zero octet of its DER: another id (RFC 9773 §4.1)."""
    client = await place.client()
    name, first, octets = await _zero_octet(place, client)
    return await _replacing(client, f"{first}.{b64(octets[1:])}", name)


async def _zero_octet(place: Place, client: RawClient) -> tuple[str, str, bytes]:
    """A certificate's name, and its id in two, once a serial begins with a zero octet: at Pebble one of 256 does."""
    names = [f"{number}.test" for number in range(AT_ONCE)]
    while True:
        issued = await asyncio.gather(*(place.issue(client, name) for name in names))
        for name, (_, chain) in zip(names, issued, strict=True):
            first, _, last = cert_id(chain).partition(".")
            octets = base64.urlsafe_b64decode(last + "=" * (-len(last) % 4))
            if octets[0] == 0:
                return name, first, octets


async def _replacing(client: RawClient, certificate: str, name: str) -> Answer:
    """A newOrder that replaces; Pebble says `valid` a moment before it knows which order a certificate is from."""
    for _ in range(PATIENCE):
        answer = await client.new_order(name, replaces=certificate)
        if b"could not find an order" not in answer.body:
            return answer
        await a_moment()
    raise AssertionError(f"Pebble does not come to know {certificate}")


async def replaces_twice(place: Place) -> Answer:
    client = await place.client()
    _, chain = await place.issue(client, "a.test")
    first = await _replacing(client, cert_id(chain), "a.test")
    await _finish(place, client, first)
    answer = await client.new_order("a.test", replaces=cert_id(chain))
    for _ in range(PATIENCE):
        if answer.status != 201:
            break
        await a_moment()  # Pebble notes the replacement a moment after `valid`, too
        answer = await client.new_order("a.test", replaces=cert_id(chain))
    return answer


async def _finish(place: Place, client: RawClient, made: Answer) -> None:
    """From a new order for a.test to its certificate."""
    await authorize(client, made.json, place.web80)
    order = (await client.post(made.location)).json
    assert (await client.finalize(order, csr_for(new_key(), "a.test"))).status == 200
    await client.settled(made.location, while_=["processing"], pause=a_moment)


async def replaces_another_accounts(place: Place) -> Answer:
    _, chain = await place.issue(await place.client(), "a.test")
    return await _replacing(await place.client(), cert_id(chain), "a.test")


async def replaces_without_a_name_in_common(place: Place) -> Answer:
    client = await place.client()
    _, chain = await place.issue(client, "a.test")
    return await _replacing(client, cert_id(chain), "b.test")


async def renewal_info_for_garbage(place: Place) -> Answer:
    client = await place.stranger()
    return await client.get(client.directory["renewalInfo"] + "/garbage")


# Revocation


async def _revoked(client: RawClient, chain: Answer, *, by_key: bool = False, **fields: Any) -> Answer:
    leaf = x509.load_pem_x509_certificates(chain.body)[0].public_bytes(serialization.Encoding.DER)
    payload = {"certificate": b64(leaf)} | fields
    return await client.post(client.directory["revokeCert"], payload, by_key=by_key)


async def revocation_by_another_account(place: Place) -> Answer:
    _, chain = await place.issue(await place.client(), "a.test")
    return await _revoked(await place.client(), chain)


async def revocation_by_another_key(place: Place) -> Answer:
    _, chain = await place.issue(await place.client(), "a.test")
    return await _revoked(await place.stranger(), chain, by_key=True)


async def revocation_twice(place: Place) -> Answer:
    client = await place.client()
    _, chain = await place.issue(client, "a.test")
    assert (await _revoked(client, chain)).status == 200
    return await _revoked(client, chain)


async def revocation_for_no_known_reason(place: Place) -> Answer:
    client = await place.client()
    _, chain = await place.issue(client, "a.test")
    return await _revoked(client, chain, reason=99)


async def revocation_of_a_foreign_certificate(place: Place) -> Answer:
    client = await place.client()
    return await client.post(client.directory["revokeCert"], {"certificate": b64(b"\x30\x00")})


def cert_id(chain: Answer) -> str:
    leaf = x509.load_pem_x509_certificates(chain.body)[0]
    authority = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    serial = leaf.serial_number
    assert authority is not None
    return f"{b64(authority)}.{b64(serial.to_bytes(serial.bit_length() // 8 + 1))}"


def _json(given: Json) -> bytes:
    import json

    return json.dumps(given).encode()
