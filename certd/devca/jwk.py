"""JSON Web Keys of accounts (RFC 7517, RFC 8037): read strictly, with the RFC 7638 thumbprint.

EC P-256, P-384, P-521, RSA 2048 to 4096 and Ed25519. Never a private key: a client that sends one has lost it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from certd.devca import base64url
from certd.devca.problems import refused
from certd.devca.weak_rsa import easily_factored

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

#: crv → curve, octets of a coordinate, the one algorithm that goes with it (RFC 7518 §3.4).
CURVES: Mapping[str, tuple[ec.EllipticCurve, int, str]] = {
    "P-256": (ec.SECP256R1(), 32, "ES256"),
    "P-384": (ec.SECP384R1(), 48, "ES384"),
    "P-521": (ec.SECP521R1(), 66, "ES512"),
}
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
RSA_BITS = range(2048, 4097)


@dataclass(frozen=True, slots=True)
class Jwk:
    """A public key. `canonical` is the JSON of RFC 7638 §3: required members, sorted, no spaces."""

    key: PublicKey
    algorithm: str
    canonical: str
    thumbprint: str  # base64url(SHA-256(canonical))


def read_jwk(given: object) -> Jwk:
    """Raises Refused: `malformed` for what is no JWK, `badPublicKey` for a key that is not taken."""
    if not isinstance(given, dict):
        raise refused("malformed", "jwk is not an object")
    if private := PRIVATE_MEMBERS & given.keys():
        raise refused("malformed", f"jwk holds private members: {', '.join(sorted(private))}")
    match given.get("kty"):
        case "EC":
            found = _ec(given)
        case "RSA":
            found = _rsa(given)
        case "OKP":
            found = _okp(given)
        case other:
            raise refused("badPublicKey", f"jwk: kty {other!r} is not taken; EC, RSA and OKP are")
    if given.get("alg", found.algorithm) != found.algorithm:
        raise refused("badPublicKey", f"jwk: alg {given['alg']!r} does not go with this key")
    return found


def thumbprint_of(key: object) -> str | None:
    """The thumbprint *key* would have as an account key; None for kinds that cannot be one."""
    match key:
        case ec.EllipticCurvePublicKey():
            numbers, known = key.public_numbers(), {each.name: (crv, size) for crv, (each, size, _) in CURVES.items()}
            if key.curve.name not in known:
                return None
            crv, size = known[key.curve.name]
            x, y = (base64url.encode(each.to_bytes(size)) for each in (numbers.x, numbers.y))
            return _jwk(key, "", {"crv": crv, "kty": "EC", "x": x, "y": y}).thumbprint
        case rsa.RSAPublicKey():
            public = key.public_numbers()
            n, e = (base64url.encode(each.to_bytes((each.bit_length() + 7) // 8)) for each in (public.n, public.e))
            return _jwk(key, "", {"e": e, "kty": "RSA", "n": n}).thumbprint
        case ed25519.Ed25519PublicKey():
            return _jwk(
                key, "", {"crv": "Ed25519", "kty": "OKP", "x": base64url.encode(key.public_bytes_raw())}
            ).thumbprint
        case _:
            return None


def _ec(given: Mapping[str, Any]) -> Jwk:
    name = given.get("crv")
    if not isinstance(name, str) or name not in CURVES:
        raise refused("badPublicKey", f"jwk: crv {name!r} is not taken; {', '.join(CURVES)} are")
    curve, size, algorithm = CURVES[name]
    x, y = _octets(given, "x"), _octets(given, "y")
    # RFC 7518 §6.2.1.2: the length of the octet string "MUST be the full size of a coordinate".
    if (len(x), len(y)) != (size, size):
        raise refused("malformed", f"jwk: coordinates of {name} have {size} octets each, not {len(x)} and {len(y)}")
    try:
        key = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve).public_key()
    except ValueError:
        raise refused("badPublicKey", f"jwk: the point is not on {name}") from None
    return _jwk(key, algorithm, {"crv": name, "kty": "EC", "x": given["x"], "y": given["y"]})


def _rsa(given: Mapping[str, Any]) -> Jwk:
    modulus, exponent = _octets(given, "n"), _octets(given, "e")
    # RFC 7518 §2, Base64urlUInt: "the minimum number of octets necessary to represent the value".
    if modulus[:1] in (b"", b"\0") or exponent[:1] in (b"", b"\0"):
        raise refused("malformed", "jwk: n and e have no leading zero octets")
    n, e = int.from_bytes(modulus), int.from_bytes(exponent)
    if n.bit_length() not in RSA_BITS or n.bit_length() % 8 or n % 2 == 0:
        raise refused("badPublicKey", f"jwk: RSA keys have 2048 to 4096 bits, this one {n.bit_length()}")
    if easily_factored(n):
        raise refused("badPublicKey", "jwk: the modulus is easily factored")
    if e != 65537:
        raise refused("badPublicKey", f"jwk: the exponent is 65537, not {e}")
    key = rsa.RSAPublicNumbers(e, n).public_key()
    return _jwk(key, "RS256", {"e": given["e"], "kty": "RSA", "n": given["n"]})


def _okp(given: Mapping[str, Any]) -> Jwk:
    if given.get("crv") != "Ed25519":
        raise refused("badPublicKey", f"jwk: crv {given.get('crv')!r} is not taken; Ed25519 is")
    x = _octets(given, "x")
    if len(x) != 32:
        raise refused("malformed", f"jwk: x of Ed25519 has 32 octets, not {len(x)}")
    key = ed25519.Ed25519PublicKey.from_public_bytes(x)
    return _jwk(key, "EdDSA", {"crv": "Ed25519", "kty": "OKP", "x": given["x"]})


def _octets(given: Mapping[str, Any], name: str) -> bytes:
    text = given.get(name)
    if not isinstance(text, str):
        raise refused("malformed", f"jwk: {name} is missing")
    try:
        return base64url.decode(text)
    except ValueError as error:
        raise refused("malformed", f"jwk: {name}: {error}") from None


def _jwk(key: PublicKey, algorithm: str, members: dict[str, Any]) -> Jwk:
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return Jwk(key, algorithm, canonical, base64url.encode(hashlib.sha256(canonical.encode()).digest()))
