"""Which public keys are too weak to certify, and which of our key types a key is.

A CA refuses these too (Boulder's `goodkey`), but only once an order stands and its names are validated; a key that
anybody can factor must not be served by a private CA that looks less closely either. What a CA alone can know (keys
reported as compromised, Debian's keys of 2008) is left to it.
"""

import math
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from certd.model.keys import KeyType

_CURVES = {"secp256r1": KeyType.EC256, "secp384r1": KeyType.EC384, "secp521r1": KeyType.EC521}
_RSA_SIZES = {2048: KeyType.RSA2048, 3072: KeyType.RSA3072, 4096: KeyType.RSA4096}
_FERMAT_ROUNDS = 100


def key_type(key: PublicKeyTypes) -> KeyType | None:
    """The type as certd counts it; None for what certd does not issue for."""
    match key:
        case ec.EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name)
        case rsa.RSAPublicKey():
            return _RSA_SIZES.get(key.key_size)
        case ed25519.Ed25519PublicKey():
            return KeyType.ED25519
        case _:
            return None


def weakness(key: PublicKeyTypes) -> str:
    """Why *key* must not be certified, as the end of a sentence (`the key is …`); empty for a sound one."""
    match key:
        case rsa.RSAPublicKey():
            return _rsa_weakness(key.public_numbers(), key.key_size)
        case ec.EllipticCurvePublicKey() if key_type(key) is None:
            return f"on the curve {key.curve.name}, which CAs do not take: use P-256, P-384 or P-521"
        case _ if key_type(key) is None:
            return "of a kind that CAs do not take: use EC P-256, P-384, P-521, RSA or Ed25519"
        case _:
            return ""


def _rsa_weakness(numbers: rsa.RSAPublicNumbers, size: int) -> str:
    if size < 2048:
        return f"RSA with {size} bits: 2048 are the least that CAs take"
    if size not in _RSA_SIZES:
        return f"RSA with {size} bits: CAs take 2048, 3072 and 4096"
    # Baseline Requirements §6.1.6: an odd exponent, "equal to 3 or more"; CAs refuse those below their SHOULD, 2^16+1.
    if numbers.e < 65537 or numbers.e % 2 == 0:
        return f"RSA with the exponent {numbers.e}: use 65537"
    return _factored(numbers.n)


def _factored(modulus: int) -> str:
    if math.gcd(modulus, _small_primes_product()) != 1:
        return "RSA whose modulus has a small factor"
    if _is_roca(modulus):
        return "RSA as broken chips make it (ROCA, CVE-2017-15361): its private half can be computed"
    if _factors_are_close(modulus):
        return "RSA whose two primes are too close to each other: its private half can be computed"
    return ""


@cache
def _primes(below: int) -> tuple[int, ...]:
    return tuple(n for n in range(2, below) if all(n % d for d in range(2, math.isqrt(n) + 1)))


@cache
def _small_primes_product() -> int:
    # Baseline Requirements §6.1.6: "have no factors smaller than 752".
    return math.prod(_primes(752))


@cache
def _roca_residues() -> tuple[tuple[int, frozenset[int]], ...]:
    # The chips made primes of the form k*M + (65537^a mod M): modulo each small prime the modulus is a power of 65537.
    powers = ((p, frozenset(pow(65537, i, p) for i in range(p))) for p in _primes(168))
    return tuple((p, residues) for p, residues in powers if len(residues) < p - 1)


def _is_roca(modulus: int) -> bool:
    return all(modulus % p in residues for p, residues in _roca_residues())


def _factors_are_close(modulus: int) -> bool:
    """Fermat's method, as many rounds as Boulder spends (CVE-2022-26320 was found so)."""
    a = math.isqrt(modulus)
    if a * a < modulus:
        a += 1
    for _ in range(_FERMAT_ROUNDS):
        rest = a * a - modulus
        if math.isqrt(rest) ** 2 == rest:
            return True
        a += 1
    return False
