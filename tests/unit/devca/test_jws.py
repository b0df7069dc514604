"""What is taken for a JWS, a JWK, base64url: by the letter of RFC 7515, 7517 and 8555 §6."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certd.devca import base64url
from certd.devca.jwk import read_jwk, thumbprint_of
from certd.devca.jws import read_jws, verify
from certd.devca.problems import Refused
from certd.devca.weak_rsa import easily_factored
from tests.unit.devca.raw_client import Json, Key, algorithm_of, b64, jwk_of, new_key, signature, thumbprint

KEYS: dict[str, Callable[[], Key]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def _jws(key: Key, header: Json | None = None, payload: bytes = b"{}") -> Json:
    protected = b64(json.dumps({"alg": algorithm_of(key)} | (header or {})).encode())
    return {
        "protected": protected,
        "payload": b64(payload),
        "signature": b64(signature(key, f"{protected}.{b64(payload)}".encode())),
    }


def _refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.problem.type


@pytest.mark.parametrize("kind", KEYS)
def test_each_kind_of_account_key_signs_and_has_its_thumbprint(kind: str) -> None:
    key = KEYS[kind]()
    jws = read_jws(json.dumps(_jws(key, payload=b'{"a": 1}')).encode())
    jwk = read_jwk(jwk_of(key))
    verify(jws, jwk)
    assert jws.payload == b'{"a": 1}'
    assert jwk.thumbprint == thumbprint(key) == thumbprint_of(key.public_key())


def test_the_thumbprint_of_rfc_7638_appendix_a_1() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQv"
        "RL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    jwk = read_jwk({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
    assert jwk.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_coordinate_keeps_its_leading_zeros() -> None:
    key = new_key()
    while key.public_key().public_numbers().y >> 248:
        key = new_key()
    assert read_jwk(jwk_of(key)).thumbprint == thumbprint(key) == thumbprint_of(key.public_key())


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"kty": "oct"}, "badPublicKey"),
        ({"crv": "secp256k1"}, "badPublicKey"),
        ({"d": "AQ"}, "malformed"),
        ({"x": None}, "malformed"),
        ({"x": "AQ=="}, "malformed"),
        ({"x": b64(bytes(33))}, "malformed"),
        ({"x": b64(bytes(32)), "y": b64(bytes(32))}, "badPublicKey"),
        ({"alg": "RS256"}, "badPublicKey"),
    ],
)
def test_odd_ec_keys_are_refused(change: Json, refusal: str) -> None:
    assert _refusal(lambda: read_jwk(jwk_of(new_key()) | change)) == refusal


@pytest.mark.parametrize(
    ("bits", "exponent", "refusal"), [(1024, 65537, "badPublicKey"), (2048, 3, "badPublicKey"), (2048, 65537, None)]
)
def test_rsa_keys_are_2048_to_4096_bits_with_the_usual_exponent(bits: int, exponent: int, refusal: str | None) -> None:
    key = jwk_of(rsa.generate_private_key(65537, bits)) | {"e": b64(exponent.to_bytes(3 if exponent > 255 else 1))}
    if refusal is None:
        read_jwk(key)
        padded = key | {"n": b64(b"\0" + base64url.decode(key["n"]))}
        assert _refusal(lambda: read_jwk(padded)) == "malformed"
    else:
        assert _refusal(lambda: read_jwk(key)) == refusal


def _with_header(header: bytes) -> bytes:
    return json.dumps({"protected": b64(header), "payload": "e30", "signature": "AA"}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff{}",
        b'{"protected": 1, "payload": "", "signature": ""}',
        b'{"protected": "e30", "payload": "e30", "signature": "AA"}',  # no alg
        b'{"protected": "W10", "payload": "e30", "signature": "AA"}',  # a list as header
        b'{"protected": "e30", "protected": "e30", "payload": "e30", "signature": "AA"}',  # twice
        b'{"protected": "e3 0", "payload": "e30", "signature": "AA"}',
        b'{"protected": "'
        + b64(b'{"alg":"ES256","b64":false,"crit":["b64"]}').encode()
        + b'", "payload": "", "signature": ""}',
        b"[" * 100_000,
        b'{"protected": ' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_flattened_jws_is_malformed(body: bytes) -> None:
    assert _refusal(lambda: read_jws(body)) == "malformed"


def test_signatures_of_the_wrong_form_are_malformed() -> None:
    key = new_key()
    jwk = read_jwk(jwk_of(key))
    good = _jws(key)
    signed = f"{good['protected']}.{good['payload']}".encode()
    for bad in (signature(key, signed, der=True), b"", bytes(64), base64url.decode(good["signature"])[:-1]):
        jws = read_jws(json.dumps(good | {"signature": b64(bad)}).encode())
        assert _refusal(partial(verify, jws, jwk)) == "malformed"


def test_a_refused_algorithm_comes_with_those_that_are_taken() -> None:
    key = new_key()
    jws = read_jws(json.dumps(_jws(key, {"alg": "PS256"})).encode())
    with pytest.raises(Refused) as caught:
        verify(jws, read_jwk(jwk_of(key)))
    document = caught.value.problem.document()
    assert document["type"] == "urn:ietf:params:acme:error:badSignatureAlgorithm"
    assert "ES256" in document["algorithms"]


@pytest.mark.parametrize("text", ["AQ==", "A", "AR", "A+8_", "A/8_", "AQ\n", " AQ", "AÄ", "A.B"])
def test_base64url_is_read_by_the_letter(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)


def test_moduli_with_small_or_close_factors_are_refused() -> None:
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    modulus = numbers.p * numbers.q
    small = modulus - modulus % 3 + (0 if (modulus - modulus % 3) % 2 else 3)
    for bad in (numbers.p * _next_prime(numbers.p + (1 << 16)), small, numbers.p**2):
        n = b64(bad.to_bytes((bad.bit_length() + 7) // 8))
        assert _refusal(partial(read_jwk, {"kty": "RSA", "n": n, "e": "AQAB"})) == "badPublicKey"
    assert not easily_factored(modulus)


def _next_prime(start: int) -> int:
    """Fermat's test with one base will do for random numbers of this size."""
    found = start | 1
    while pow(2, found - 1, found) != 1:
        found += 2
    return found
