"""RSA moduli that are easy to factor, found as Boulder finds them: small factors, and primes close together."""

from math import gcd, isqrt, prod

LARGEST_SMALL_PRIME = 752  # the largest prime below it is 751
FERMAT_ROUNDS = 100

_PRIMES = [each for each in range(2, LARGEST_SMALL_PRIME) if all(each % other for other in range(2, isqrt(each) + 1))]
_PRODUCT = prod(_PRIMES)


def easily_factored(modulus: int) -> bool:
    """Whether *modulus* has a small prime factor, or two factors that Fermat's method finds at once."""
    return gcd(modulus, _PRODUCT) != 1 or _close_factors(modulus)


def _close_factors(modulus: int) -> bool:
    """Modulus = a² - b² = (a - b)(a + b) for an a just above its root: keys of CVE-2022-26320."""
    a = isqrt(modulus)
    if a * a == modulus:
        return True
    for _ in range(FERMAT_ROUNDS):
        a += 1
        square = a * a - modulus
        if isqrt(square) ** 2 == square:
            return True
    return False
