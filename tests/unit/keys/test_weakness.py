"""Keys that anybody can factor, or that no CA takes, are known before an order is spent on them (SE19)."""

import math
import random
import re
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certd.keys.weakness import key_type, weakness
from certd.model.keys import KeyType

RANDOM = random.Random(20261123)
PRIMES = [n for n in range(2, 702) if all(n % d for d in range(2, math.isqrt(n) + 1))]


def rsa_key(modulus: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def of_size(bits: int, draw: Callable[[], int], tries: int = 10_000) -> int:
    """A modulus of exactly *bits* without small factors; whether its factors are prime does not matter here."""
    for _ in range(tries):
        modulus = draw()
        if modulus.bit_length() == bits and all(modulus % p for p in range(2, 752)):
            return modulus
    raise AssertionError("no such modulus")


def roca_factor() -> int:
    """As the Infineon library made 1024-bit primes: k*M + (65537^a mod M), M the product of the first 126 primes."""
    product = math.prod(PRIMES)
    spare = 1024 - product.bit_length()
    return RANDOM.getrandbits(spare) * product + pow(65537, RANDOM.getrandbits(250), product)


def close_factors() -> int:
    first = RANDOM.getrandbits(1024) | (3 << 1022) | 1
    return first * (first + 2 * RANDOM.getrandbits(40))


@pytest.mark.parametrize(
    ("modulus", "exponent", "words"),
    [
        (of_size(2048, lambda: roca_factor() * roca_factor()), 65537, "ROCA"),
        (of_size(2048, close_factors), 65537, "too close"),
        (of_size(2046, lambda: RANDOM.getrandbits(2046) | 1) * 3, 65537, "small factor|bits"),
        (751 * of_size(2039, lambda: RANDOM.getrandbits(2039) | 1), 65537, "small factor|bits"),
        (of_size(1024, lambda: RANDOM.getrandbits(1024) | 1), 65537, "1024 bits"),
        (of_size(2047, lambda: RANDOM.getrandbits(2047) | 1), 65537, "2047 bits"),
        (of_size(8192, lambda: RANDOM.getrandbits(8192) | 1), 65537, "8192 bits"),
        (of_size(2048, lambda: RANDOM.getrandbits(2048) | 1), 3, "exponent 3"),
    ],
)
def test_a_weak_rsa_key_is_named_for_its_weakness(modulus: int, exponent: int, words: str) -> None:
    assert re.search(words, weakness(rsa_key(modulus, exponent)))


def test_sound_keys_are_not_accused() -> None:
    """A false accusation would stop a renewal: many random moduli, and real keys of each type."""
    for _ in range(300):
        assert weakness(rsa_key(of_size(2048, lambda: RANDOM.getrandbits(2048) | 1))) == ""
    for size, type_ in ((2048, KeyType.RSA2048), (3072, KeyType.RSA3072)):
        public = rsa.generate_private_key(65537, size).public_key()
        assert (weakness(public), key_type(public)) == ("", type_)
    for curve, type_ in (
        (ec.SECP256R1(), KeyType.EC256),
        (ec.SECP384R1(), KeyType.EC384),
        (ec.SECP521R1(), KeyType.EC521),
    ):
        curve_key = ec.generate_private_key(curve).public_key()
        assert (weakness(curve_key), key_type(curve_key)) == ("", type_)
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    assert (weakness(edwards), key_type(edwards)) == ("", KeyType.ED25519)


def test_curves_that_cas_do_not_take_are_refused() -> None:
    for curve in (ec.SECP256K1(), ec.SECP192R1(), ec.BrainpoolP256R1()):
        assert curve.name in weakness(ec.generate_private_key(curve).public_key())
