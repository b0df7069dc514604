"""JSON Web Signatures as RFC 8555 §6.2 allows them: flattened, one signature, protected header only, nothing detached.

Everything else is refused, and the reason is said: a client author reads it.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from certd.devca import base64url
from certd.devca.jwk import Jwk
from certd.devca.problems import refused

ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "EdDSA")
MAC_ALGORITHMS: Mapping[str, str] = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
#: alg → hash, octets of R and of S.
ECDSA: Mapping[str, tuple[hashes.HashAlgorithm, int]] = {
    "ES256": (hashes.SHA256(), 32),
    "ES384": (hashes.SHA384(), 48),
    "ES512": (hashes.SHA512(), 66),
}
DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Jws:
    """A parsed JWS whose signature nobody has looked at yet."""

    header: Mapping[str, Any]
    signed: bytes  # protected "." payload, as they were sent
    payload: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        return str(self.header["alg"])


def read_json(data: bytes | str, what: str) -> Any:
    """JSON without repeated members. Raises Refused(malformed)."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        return json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refused("malformed", f"{what} is not JSON: {error}") from None


def read_object(data: bytes | str, what: str) -> dict[str, Any]:
    found = read_json(data, what)
    if not isinstance(found, dict):
        raise refused("malformed", f"{what} is not a JSON object")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def read_jws(given: bytes | Mapping[str, Any], what: str = "the request") -> Jws:
    """Take a flattened JWS apart. Raises Refused: `malformed`, or `badSignatureAlgorithm` for an unknown `alg`."""
    members = read_object(given, what) if isinstance(given, bytes) else given
    if "header" in members:
        raise refused("malformed", f"{what}: no unprotected header is allowed (RFC 8555 §6.2)")
    if "signatures" in members:
        raise refused("malformed", f"{what}: one signature, in the flattened form (RFC 8555 §6.2)")
    protected, payload = _text(members, "protected", what), _text(members, "payload", what)
    octets = _decoded(payload, "payload", what)
    signature = _decoded(_text(members, "signature", what), "signature", what)
    header = read_object(_decoded(protected, "protected", what), f"{what}: the protected header")
    if "b64" in header or "crit" in header:
        raise refused("malformed", f"{what}: neither b64 nor crit is understood (RFC 8555 §6.2, RFC 7797)")
    if not isinstance(header.get("alg"), str):
        raise refused("malformed", f"{what}: the protected header has no alg")
    return Jws(header, f"{protected}.{payload}".encode(), octets, signature)


def _text(members: Mapping[str, Any], name: str, what: str) -> str:
    text = members.get(name)
    if not isinstance(text, str):
        raise refused("malformed", f"{what}: {name} is missing or no string")
    return text


def _decoded(text: str, name: str, what: str) -> bytes:
    try:
        return base64url.decode(text)
    except ValueError as error:
        raise refused("malformed", f"{what}: {name}: {error}") from None


def check_algorithm(jws: Jws) -> None:
    """RFC 8555 §6.2: "MUST NOT be 'none' or a MAC"; the answer lists what is taken."""
    if jws.algorithm not in ALGORITHMS:
        detail = f"alg {jws.algorithm!r} is not taken; {', '.join(ALGORITHMS)} are"
        raise refused("badSignatureAlgorithm", detail, extra={"algorithms": list(ALGORITHMS)})


def verify(jws: Jws, jwk: Jwk) -> None:
    """Raises Refused unless *jws* is signed by *jwk* with the algorithm that goes with it."""
    check_algorithm(jws)
    if jws.algorithm != jwk.algorithm:
        detail = f"alg {jws.algorithm} does not go with this key, {jwk.algorithm} does"
        raise refused("badSignatureAlgorithm", detail, extra={"algorithms": [jwk.algorithm]})
    try:
        _verify(jws, jwk)
    except InvalidSignature:
        raise refused("malformed", "the signature does not verify") from None


def _verify(jws: Jws, jwk: Jwk) -> None:
    match jwk.key:
        case ec.EllipticCurvePublicKey():
            digest, size = ECDSA[jws.algorithm]
            if len(jws.signature) != 2 * size:
                form = " (DER? R and S are sent raw)" if jws.signature[:1] == b"\x30" else ""
                length = len(jws.signature)
                raise refused("malformed", f"{jws.algorithm}: a signature has {2 * size} octets, not {length}{form}")
            r, s = int.from_bytes(jws.signature[:size]), int.from_bytes(jws.signature[size:])
            jwk.key.verify(encode_dss_signature(r, s), jws.signed, ec.ECDSA(digest))
        case rsa.RSAPublicKey():
            jwk.key.verify(jws.signature, jws.signed, padding.PKCS1v15(), hashes.SHA256())
        case ed25519.Ed25519PublicKey():
            jwk.key.verify(jws.signature, jws.signed)


def mac_verifies(jws: Jws, key: bytes) -> bool:
    """For external account bindings (RFC 8555 §7.3.4)."""
    digest = hmac.digest(key, jws.signed, MAC_ALGORITHMS[jws.algorithm])
    return hmac.compare_digest(digest, jws.signature)
