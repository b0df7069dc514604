"""A JOSE verifier of our own, for the wire: cryptography and the RFCs (7515, 7517, 7518, 8037, 8555 §6.2), no josepy.

It refuses what a strict ACME server must refuse, each with its reason.
"""

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_CURVES: dict[str, tuple[ec.EllipticCurve, int]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
    "P-521": (ec.SECP521R1(), 66),
}
_EC: dict[str, tuple[str, int, hashes.HashAlgorithm]] = {
    "ES256": ("secp256r1", 64, hashes.SHA256()),
    "ES384": ("secp384r1", 96, hashes.SHA384()),
    "ES512": ("secp521r1", 132, hashes.SHA512()),
}
_MACS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_FIELDS = {"kty": {"EC": {"kty", "crv", "x", "y"}, "RSA": {"kty", "n", "e"}, "OKP": {"kty", "crv", "x"}}}


class BadJws(Exception):
    """What a server would refuse."""


@dataclass(frozen=True)
class Jws:
    protected: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


def decode(text: object) -> bytes:
    """Strict base64url: no padding, no other alphabet, no stray bits (RFC 8555 §6.1)."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise BadJws(f"not base64url: {text!r}")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise BadJws("base64url with stray bits")
    return data


def parse(body: bytes | str) -> Jws:
    """A flattened JWS with protected header only; exactly three members (§6.2)."""
    value = json.loads(body)
    if set(value) != {"protected", "payload", "signature"}:
        raise BadJws(f"members {sorted(value)}")
    protected = json.loads(decode(value["protected"]))
    if {"b64", "crit", "x5c", "jku"} & set(protected):
        raise BadJws(f"header {sorted(protected)}")
    signed = f"{value['protected']}.{value['payload']}".encode()
    return Jws(protected, decode(value["payload"]), signed, decode(value["signature"]))


def public_key(jwk: dict[str, Any]) -> PublicKey:
    """RFC 7518 §6: coordinates in full length, RSA integers without leading zeros; no private member, no extra one."""
    if set(jwk) != _FIELDS["kty"].get(jwk.get("kty", "")):
        raise BadJws(f"jwk members {sorted(jwk)}")
    match jwk["kty"]:
        case "EC":
            curve, size = _CURVES[jwk["crv"]]
            x, y = decode(jwk["x"]), decode(jwk["y"])
            if len(x) != size or len(y) != size:
                raise BadJws("coordinates are not of full length")
            return ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve).public_key()
        case "RSA":
            n, e = decode(jwk["n"]), decode(jwk["e"])
            if n[0] == 0 or e[0] == 0:
                raise BadJws("leading zeros in an RSA number")
            return rsa.RSAPublicNumbers(int.from_bytes(e), int.from_bytes(n)).public_key()
        case _:
            return ed25519.Ed25519PublicKey.from_public_bytes(decode(jwk["x"]))


def verify(jws: Jws, key: PublicKey) -> None:
    """Raises BadJws."""
    algorithm = jws.protected.get("alg", "")
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                curve, size, digest = _EC[algorithm]
                if key.curve.name != curve or len(jws.signature) != size:
                    raise BadJws(f"{algorithm}: curve {key.curve.name}, {len(jws.signature)} octets of signature")
                r, s = jws.signature[: size // 2], jws.signature[size // 2 :]
                der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
                key.verify(der, jws.signed, ec.ECDSA(digest))
            case rsa.RSAPublicKey():
                if algorithm != "RS256":
                    raise BadJws(algorithm)
                key.verify(jws.signature, jws.signed, padding.PKCS1v15(), hashes.SHA256())
            case _:
                if algorithm != "EdDSA":
                    raise BadJws(algorithm)
                key.verify(jws.signature, jws.signed)
    except (InvalidSignature, KeyError) as why:
        raise BadJws(f"the signature does not verify: {why!r}") from None


def verify_mac(jws: Jws, key: bytes) -> None:
    """Raises BadJws; RFC 8555 §7.3.4 wants a MAC here."""
    digest = _MACS.get(jws.protected.get("alg", ""))
    if digest is None or not hmac.compare_digest(hmac.new(key, jws.signed, digest).digest(), jws.signature):
        raise BadJws("the MAC does not verify")


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638 by hand: sorted members, no white space."""
    text = "{" + ",".join(f'"{name}":"{jwk[name]}"' for name in sorted(jwk)) + "}"
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
