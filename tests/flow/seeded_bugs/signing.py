"""Client bugs in how a request is signed and sent (RFC 8555 §6)."""

import base64
import hmac
import json

from tests.flow.seeded_bugs.place import Place
from tests.unit.devca.raw_client import Answer, Json, RawClient, Twist, b64, jwk_of, new_key, signature

NAME = "signing.test"


async def _order(client: RawClient, twist: Twist, *, by_key: bool = False) -> Answer:
    """An order that would be fine but for *twist*."""
    payload = {"identifiers": [{"type": "dns", "value": NAME}]}
    return await client.post(client.directory["newOrder"], payload, twist, by_key=by_key)


async def der_signature(place: Place) -> Answer:
    return await _order(await place.client(), Twist(sign=lambda key, data: signature(key, data, der=True)))


async def padded_base64url(place: Place) -> Answer:
    return await _order(await place.client(), Twist(encode=lambda data: base64.urlsafe_b64encode(data).decode() + "="))


async def standard_base64(place: Place) -> Answer:
    """`+` and `/` in place of `-` and `_`; the odd member makes sure that there are some."""
    twist = Twist(
        header=lambda header: header | {"x": "\u00ff\u00fe?>" * 8},
        encode=lambda data: base64.b64encode(data).rstrip(b"=").decode(),
    )
    client = await place.client()
    client.nonces = [await client.new_nonce()]
    return await _order(client, twist)


async def jwk_with_kid(place: Place) -> Answer:
    client = await place.client()
    return await _order(client, Twist(header=lambda header: header | {"jwk": jwk_of(client.key)}))


async def neither_jwk_nor_kid(place: Place) -> Answer:
    return await _order(await place.client(), Twist(header=lambda header: _without(header, "kid")))


async def jwk_where_kid_is_wanted(place: Place) -> Answer:
    return await _order(await place.client(), Twist(), by_key=True)


async def kid_where_jwk_is_wanted(place: Place) -> Answer:
    client = await place.client()
    return await client.post(client.directory["newAccount"], {"termsOfServiceAgreed": True})


async def kid_that_is_no_account_here(place: Place) -> Answer:
    return await _order(await place.client(), Twist(header=lambda header: header | {"kid": "https://ca.test/acct/1"}))


async def kid_of_nobody(place: Place) -> Answer:
    return await _order(await place.client(), Twist(header=lambda header: header | {"kid": header["kid"] + "0"}))


async def kid_of_somebody_else(place: Place) -> Answer:
    other = await place.client()
    return await _order(await place.client(), Twist(header=lambda header: header | {"kid": other.kid}))


async def stale_nonce(place: Place) -> Answer:
    client = await place.client()
    nonce = await client.new_nonce()
    use_it = Twist(header=lambda header: header | {"nonce": nonce}, retries=False)
    assert (await _order(client, use_it)).status == 201
    return await _order(client, use_it)


async def invented_nonce(place: Place) -> Answer:
    return await _order(
        await place.client(), Twist(header=lambda header: header | {"nonce": b64(b"made up here")}, retries=False)
    )


async def no_nonce(place: Place) -> Answer:
    return await _order(await place.client(), Twist(header=lambda header: _without(header, "nonce"), retries=False))


async def nonce_in_an_http_header(place: Place) -> Answer:
    return await _order(await place.client(), Twist(http=lambda headers: headers | {"Replay-Nonce": "abc"}))


async def wrong_url(place: Place) -> Answer:
    client = await place.client()
    return await _order(client, Twist(header=lambda header: header | {"url": client.directory["newAccount"]}))


async def no_url(place: Place) -> Answer:
    return await _order(await place.client(), Twist(header=lambda header: _without(header, "url")))


async def unprotected_header(place: Place) -> Answer:
    return await _order(await place.client(), Twist(envelope=lambda jws: jws | {"header": {"alg": "ES256"}}))


async def general_serialization(place: Place) -> Answer:
    def general(jws: Json) -> Json:
        one = {"protected": jws["protected"], "signature": jws["signature"]}
        return {"payload": jws["payload"], "signatures": [one]}

    return await _order(await place.client(), Twist(envelope=general))


async def detached_payload(place: Place) -> Answer:
    return await _order(await place.client(), Twist(envelope=lambda jws: _without(jws, "payload")))


async def wrong_content_type(place: Place) -> Answer:
    return await _order(await place.client(), Twist(http=lambda _: {"Content-Type": "application/json"}))


async def no_user_agent(place: Place) -> Answer:
    return await _order(await place.client(), Twist(http=lambda headers: headers | {"User-Agent": ""}))


async def alg_none(place: Place) -> Answer:
    twist = Twist(header=lambda header: header | {"alg": "none"}, sign=lambda _key, _data: b"")
    return await _order(await place.client(), twist)


async def mac_in_place_of_a_signature(place: Place) -> Answer:
    client = await place.client()
    secret = json.dumps(jwk_of(client.key)).encode()
    twist = Twist(
        header=lambda header: header | {"alg": "HS256"}, sign=lambda _, data: hmac.digest(secret, data, "sha256")
    )
    return await _order(client, twist)


async def alg_of_another_curve(place: Place) -> Answer:
    return await _order(await place.client(), Twist(header=lambda header: header | {"alg": "ES384"}))


async def signed_by_another_key(place: Place) -> Answer:
    return await _order(await place.client(), Twist(sign_with=new_key()))


async def payload_changed_after_signing(place: Place) -> Answer:
    return await _order(await place.client(), Twist(envelope=lambda jws: jws | {"payload": b64(b"{}")}))


async def point_not_on_the_curve(place: Place) -> Answer:
    client = await place.stranger()
    bad = jwk_of(client.key) | {"y": b64(bytes(32))}
    return await client.register(Twist(header=lambda header: header | {"jwk": bad}))


async def short_coordinate(place: Place) -> Answer:
    """Leading zeros of a coordinate stripped, as a number's would be (RFC 7518 §6.2.1.2)."""
    client = await place.stranger()
    while client.key.public_key().public_numbers().x >> 248:  # type: ignore[union-attr]
        client.key = new_key()
    x = client.key.public_key().public_numbers().x  # type: ignore[union-attr]
    short = jwk_of(client.key) | {"x": b64(x.to_bytes(31))}
    return await client.register(Twist(header=lambda header: header | {"jwk": short}))


async def plain_get_of_an_order(place: Place) -> Answer:
    client = await place.client()
    made = await client.new_order(NAME)
    return await client.get(made.location)


async def post_as_get_with_a_payload(place: Place) -> Answer:
    client = await place.client()
    made = await client.new_order(NAME)
    return await client.post(made.location, {})


def _without(given: Json, name: str) -> Json:
    return {key: value for key, value in given.items() if key != name}
