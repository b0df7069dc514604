"""Client bugs in proofs: what is served, where, and for how long (RFC 8555 §8, RFC 8737)."""

import hashlib

from cryptography import x509

from tests.flow.seeded_bugs.place import Place
from tests.unit.devca.raw_client import Answer, b64
from tests.unit.devca.responders import AlpnCertificate


async def challenge_answered_with_a_key_authorization(place: Place) -> Answer:
    """As ACME v1 wanted it; now it is `{}` (§7.5.1)."""
    client = await place.client()
    _, challenge = await place.challenged(client, "proofs.test", "http-01")
    return await client.post(challenge["url"], {"keyAuthorization": client.key_authorization(challenge["token"])})


async def http_nothing_there(place: Place) -> str | None:
    client = await place.client()
    return await place.outcome(client, *await place.challenged(client, "proofs.test", "http-01"))


async def http_token_alone(place: Place) -> str | None:
    client = await place.client()
    url, challenge = await place.challenged(client, "proofs.test", "http-01")
    place.web80.proofs[challenge["token"]] = challenge["token"]
    return await place.outcome(client, url, challenge)


async def http_thumbprint_of_another_key(place: Place) -> str | None:
    client, other = await place.client(), await place.client()
    url, challenge = await place.challenged(client, "proofs.test", "http-01")
    place.web80.proofs[challenge["token"]] = other.key_authorization(challenge["token"])
    return await place.outcome(client, url, challenge)


async def http_cleaned_up_too_early(place: Place) -> str | None:
    """Gone after the first look, when the others are still to come."""
    client = await place.client()
    url, challenge = await place.challenged(client, "proofs.test", "http-01")
    place.web80.proofs[challenge["token"]] = client.key_authorization(challenge["token"])
    place.web80.once = True
    try:
        return await place.outcome(client, url, challenge)
    finally:
        place.web80.once = False


async def dns_nothing_there(place: Place) -> str | None:
    client = await place.client()
    return await place.outcome(client, *await place.challenged(client, "nothing.proofs.test", "dns-01"))


async def dns_key_authorization_in_place_of_its_digest(place: Place) -> str | None:
    client = await place.client()
    url, challenge = await place.challenged(client, "plain.proofs.test", "dns-01")
    await place.set_txt("_acme-challenge.plain.proofs.test", client.key_authorization(challenge["token"]))
    return await place.outcome(client, url, challenge)


async def dns_padded_digest(place: Place) -> str | None:
    client = await place.client()
    url, challenge = await place.challenged(client, "padded.proofs.test", "dns-01")
    digest = hashlib.sha256(client.key_authorization(challenge["token"]).encode()).digest()
    await place.set_txt("_acme-challenge.padded.proofs.test", b64(digest) + "=")
    return await place.outcome(client, url, challenge)


async def dns_hexadecimal_digest(place: Place) -> str | None:
    client = await place.client()
    url, challenge = await place.challenged(client, "hex.proofs.test", "dns-01")
    digest = hashlib.sha256(client.key_authorization(challenge["token"]).encode()).hexdigest()
    await place.set_txt("_acme-challenge.hex.proofs.test", digest)
    return await place.outcome(client, url, challenge)


async def _alpn(place: Place, **changes: object) -> str | None:
    """A tls-alpn-01 proof that would be fine but for *changes*."""
    client = await place.client()
    url, challenge = await place.challenged(client, "proofs.test", "tls-alpn-01")
    right = {"names": ("proofs.test",), "key_authorization": client.key_authorization(challenge["token"])}
    place.alpn.show(AlpnCertificate(**(right | changes)))  # type: ignore[arg-type]
    return await place.outcome(client, url, challenge)


async def alpn_extension_not_critical(place: Place) -> str | None:
    return await _alpn(place, critical=False)


async def alpn_extension_of_the_draft(place: Place) -> str | None:
    return await _alpn(place, oid=x509.ObjectIdentifier("1.3.6.1.5.5.7.1.30.1"))


async def alpn_digest_without_its_octet_string(place: Place) -> str | None:
    return await _alpn(place, digest=lambda data: hashlib.sha256(data).digest())


async def alpn_two_names(place: Place) -> str | None:
    return await _alpn(place, names=("proofs.test", "www.proofs.test"))


async def alpn_another_name(place: Place) -> str | None:
    return await _alpn(place, names=("www.proofs.test",))


async def alpn_not_self_signed(place: Place) -> str | None:
    return await _alpn(place, self_signed=False)


async def alpn_protocol_not_negotiated(place: Place) -> str | None:
    place.alpn.protocols = ()
    try:
        return await _alpn(place)
    finally:
        place.alpn.protocols = ("acme-tls/1",)
