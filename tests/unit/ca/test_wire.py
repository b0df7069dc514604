"""JOSE as RFC 8555 wants it, looked at by a verifier that knows no josepy."""

import json
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certd.ca.wire import (
    POST_AS_GET,
    Signer,
    b64url,
    external_account_binding,
    payload_of,
)
from certd.model.errors import ConfigError
from certd.model.keys import KeyType
from certd.model.secret import Secret
from tests.fakes.signing import FakeKey, ec_key_with_leading_zero
from tests.unit.ca import jose

URL = "https://ca.example/acme/order/a%2Fb%41?x=1"
KID = "https://ca.example/acme/acct/1"
MAC_KEY = bytes(range(250, 256)) * 6  # its base64 has both characters in which the alphabets differ


@dataclass(frozen=True)
class External:
    kid: str
    mac_key: Secret[str]
    algorithm: str = "HS256"


@pytest.mark.parametrize("type_", KeyType)
async def test_each_key_type_signs_what_an_independent_verifier_accepts(type_: KeyType) -> None:
    """R6: ES256 is raw R‖S of 64 octets, not DER; ES384, ES512, RS256, EdDSA."""
    signer = Signer(FakeKey.make(type_))
    jws = jose.parse(await signer.sign(signer.by_account(KID), payload_of({"a": 1}), url=URL, nonce="n0nce_-"))
    jose.verify(jws, jose.public_key(signer.jwk))
    assert jws.protected == {"alg": jws.protected["alg"], "kid": KID, "nonce": "n0nce_-", "url": URL}
    assert jws.payload == b'{"a":1}'


async def test_a_thousand_signatures_keep_their_length_whatever_zeros_r_and_s_begin_with() -> None:
    """R6: one signature in 128 has a short R or S in DER; the JOSE form stays at 64 octets."""
    signer = Signer(FakeKey.make())
    key = jose.public_key(signer.jwk)
    for number in range(1000):
        jws = jose.parse(await signer.sign(signer.by_key, b"%d" % number, url=URL, nonce="x"))
        jose.verify(jws, key)


async def test_a_header_has_jwk_or_kid_and_never_both() -> None:
    """R7: `jwk` for newAccount and revocation by certificate key, `kid` for all else."""
    signer = Signer(FakeKey.make())
    by_key = jose.parse(await signer.sign(signer.by_key, b"{}", url=URL, nonce="n"))
    by_account = jose.parse(await signer.sign(signer.by_account(KID), b"{}", url=URL, nonce="n"))
    assert set(by_key.protected) == {"alg", "jwk", "nonce", "url"}
    assert set(by_account.protected) == {"alg", "kid", "nonce", "url"}
    assert by_key.protected["jwk"] == signer.jwk


async def test_a_jws_is_flattened_with_a_protected_header_only() -> None:
    """R5: three members; a POST-as-GET has an empty payload, which is not `{}` (R9)."""
    signer = Signer(FakeKey.make())
    text = json.loads(await signer.sign(signer.by_account(KID), POST_AS_GET, url=URL, nonce="n"))
    assert set(text) == {"protected", "payload", "signature"}
    assert text["payload"] == ""


@pytest.mark.parametrize("nonce", ["A", "abcde", "AAB", "x" * 300], ids=lambda n: n[:5])
async def test_a_nonce_comes_back_as_it_went_out(nonce: str) -> None:
    """R11: §6.5.1 allows 1*base64url, so lengths and stray bits that no base64 decoder would keep."""
    signer = Signer(FakeKey.make())
    assert jose.parse(await signer.sign(signer.by_key, b"", url=URL, nonce=nonce)).protected["nonce"] == nonce


async def test_a_url_and_a_kid_are_escaped_for_json_and_otherwise_kept() -> None:
    """R10: the exact string, also where JSON needs a backslash."""
    signer = Signer(FakeKey.make())
    url, kid = 'https://ca.example/"\\', 'https://ca.example/acct/"'
    protected = jose.parse(await signer.sign(signer.by_account(kid), b"", url=url, nonce="n")).protected
    assert (protected["url"], protected["kid"]) == (url, kid)


@pytest.mark.parametrize("coordinate", ["x", "y"])
async def test_coordinates_with_leading_zeros_keep_them(coordinate: str) -> None:
    """R41: RFC 7518 §6.2.1.2 wants the full length, and the thumbprint is over that text."""
    key = ec_key_with_leading_zero(coordinate)
    signer = Signer(key)
    assert jose.decode(signer.jwk[coordinate])[0] == 0
    assert signer.thumbprint == jose.thumbprint(signer.jwk)
    jws = jose.parse(await signer.sign(signer.by_key, b"", url=URL, nonce="n"))
    jose.verify(jws, jose.public_key(signer.jwk))


def test_rsa_numbers_have_no_leading_zeros() -> None:
    """R41: n of 2048 bits always has its top bit set, so a DER-like 00 before it would change the thumbprint."""
    key = FakeKey.make(KeyType.RSA2048)
    assert isinstance(key.key, rsa.RSAPrivateKey)
    jwk = Signer(key).jwk
    assert len(jose.decode(jwk["n"])) == 256
    assert jwk["e"] == "AQAB"
    assert Signer(key).thumbprint == jose.thumbprint(jwk)


def test_the_key_authorization_is_token_dot_thumbprint() -> None:
    """R41: the thumbprint of RFC 7638, sorted members, no white space, over the public half alone."""
    signer = Signer(FakeKey.make(KeyType.EC384))
    token, _, thumbprint = signer.key_authorization("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").partition(".")
    assert token == "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
    assert thumbprint == jose.thumbprint(signer.jwk)
    assert len(thumbprint) == 43


def test_an_ed25519_key_has_the_thumbprint_of_rfc_8037() -> None:
    """R41: the vector of RFC 8037, appendix A.3."""
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert jose.thumbprint({"crv": "Ed25519", "kty": "OKP", "x": x}) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    signer = Signer(FakeKey.make(KeyType.ED25519))
    assert signer.thumbprint == jose.thumbprint(signer.jwk)


def test_what_is_sent_has_no_padding() -> None:
    """R4: lengths 0 to 8, and the characters in which base64url differs."""
    for size in range(9):
        data = b"\xfb\xff\xfe" * size
        assert jose.decode(b64url(data)) == data
        assert not set("+/=") & set(b64url(data))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "hs256"])
def test_an_external_account_binding_verifies_with_the_macs_key(algorithm: str) -> None:
    """R28: inner JWS, MACed; kid of the CA, no nonce, the same url, payload the account's JWK."""
    signer = Signer(FakeKey.make(KeyType.EC384))
    external = External("kid-1", Secret(b64url(MAC_KEY)), algorithm)
    inner = jose.parse(json.dumps(external_account_binding(external, signer, URL)))
    jose.verify_mac(inner, MAC_KEY)
    assert inner.protected == {"alg": algorithm.upper(), "kid": "kid-1", "url": URL}
    assert json.loads(inner.payload) == signer.jwk


@pytest.mark.parametrize(
    "pasted",
    ["{url}", "{url}==", "{std}", " {url}\n", "{std_wrapped}", "{padded}"],
    ids=["base64url", "padded", "standard", "white space", "wrapped", "standard padded"],
)
def test_a_mac_key_is_taken_however_people_paste_it(pasted: str) -> None:
    """R28: CAs show base64url; copies arrive padded, in the other alphabet, or with line breaks."""
    url = b64url(MAC_KEY)
    std = url.replace("-", "+").replace("_", "/")
    text = pasted.format(url=url, std=std, std_wrapped=f"{std[:10]}\r\n{std[10:]}", padded=std + "=" * (-len(std) % 4))
    inner = external_account_binding(External("k", Secret(text)), Signer(FakeKey.make()), URL)
    jose.verify_mac(jose.parse(json.dumps(inner)), MAC_KEY)


@pytest.mark.parametrize("text", ["", "=", "not base64!", "ä", "A"], ids=["empty", "=", "!", "ä", "one character"])
def test_a_mac_key_that_is_none_is_refused_without_being_shown(text: str) -> None:
    """R28: the secret never reaches a message."""
    with pytest.raises(ConfigError) as caught:
        external_account_binding(External("kid-1", Secret(text)), Signer(FakeKey.make()), URL)
    assert "kid-1" in str(caught.value)
    if len(text) > 2:
        assert text not in str(caught.value) + caught.value.hint


def test_an_unknown_mac_algorithm_is_refused() -> None:
    """R28: HS256, HS384, HS512 and no other."""
    with pytest.raises(ConfigError, match="HS1"):
        external_account_binding(External("k", Secret("YWJj"), "HS1"), Signer(FakeKey.make()), URL)


def test_the_jwk_is_the_public_half() -> None:
    """R45: nothing of the private key is in what is sent."""
    key = FakeKey.make()
    assert isinstance(key.key, ec.EllipticCurvePrivateKey)
    assert set(Signer(key).jwk) == {"kty", "crv", "x", "y"}
