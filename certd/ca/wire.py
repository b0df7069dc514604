"""JOSE for ACME (RFC 7515, 7517, 7518, 7638; RFC 8555 §6.2): the only file in certd that imports acme and josepy.

Signatures are awaited, because the key may be in an HSM; josepy's own sign() would need the private key. Of acme only
the protected header is used: acme.messages and acme.client import requests and pyOpenSSL, and read replies strictly.
No secret is in any value here that has a repr.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from acme.jws import Header
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import load_der_public_key
from josepy.b64 import b64encode
from josepy.jwa import HS256, HS384, HS512
from josepy.jwk import JWK, JWKEC, JWKRSA

from certd.model.errors import ConfigError
from certd.model.keys import ALGORITHM_OF, Algorithm, SigningKey
from certd.model.secret import Secret

Json = Mapping[str, Any]

#: RFC 8555 §6.3: POST-as-GET has "a zero-length octet string" as payload, which is not the same as `{}`.
POST_AS_GET = b""
EMPTY_OBJECT = b"{}"

# RFC 7518 §3.4: R and S as octet strings of the length of the curve's order, one after the other.
_COORDINATE = {Algorithm.ES256: 32, Algorithm.ES384: 48, Algorithm.ES512: 66}
_MACS = {"HS256": HS256, "HS384": HS384, "HS512": HS512}

_encode = json.JSONEncoder(separators=(",", ":")).encode


class ExternalBinding(Protocol):
    """What the CA handed out for external account binding (RFC 8555 §7.3.4)."""

    @property
    def kid(self) -> str: ...
    @property
    def mac_key(self) -> Secret[str]:
        """base64url, as the CA shows it."""
        ...

    @property
    def algorithm(self) -> str:
        """HS256, HS384 or HS512."""
        ...


def b64url(data: bytes) -> str:
    """Without padding (RFC 8555 §6.1)."""
    return b64encode(data).decode("ascii")


def payload_of(fields: Json) -> bytes:
    """A JSON payload, as bytes to be signed."""
    return _encode(fields).encode()


class Signer:
    """An account or certificate key as JOSE sees it; what does not change between two requests is computed once."""

    __slots__ = ("_algorithm", "_by_jwk", "_key", "jwk", "thumbprint")

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._algorithm = ALGORITHM_OF[key.type]
        self.jwk, self.thumbprint = _public(key)
        self._by_jwk = _static_header({"alg": self._algorithm.value, "jwk": self.jwk})

    def by_account(self, account_url: str) -> str:
        """The unchanging half of a protected header with `kid`: all requests of an account that is known (§6.2)."""
        header: dict[str, Any] = Header(kid=account_url).to_partial_json()
        return _static_header({"alg": self._algorithm.value, **header})

    @property
    def by_key(self) -> str:
        """The unchanging half of a protected header with `jwk`: newAccount, and revocation by certificate key."""
        return self._by_jwk

    async def sign(self, static: str, payload: bytes, *, url: str, nonce: str | None) -> bytes:
        """One flattened JWS (§6.2) as a request body. *nonce* None: the inner one of keyChange (§7.3.5).

        *nonce* is put in as it came: acme's Header would decode and encode it, which changes some that are legal.
        Raises KeyStoreError.
        """
        fresh = "" if nonce is None else f'"nonce":"{nonce}",'
        protected = b64url(f'{static}{fresh}"url":{_encode(url)}}}'.encode())
        body = b64url(payload)
        signature = await self._key.sign(self._algorithm, f"{protected}.{body}".encode("ascii"))
        return _flattened(protected, body, jose_signature(self._algorithm, signature))

    def key_authorization(self, token: str) -> str:
        """`token "." base64url(thumbprint)` (§8.1)."""
        return f"{token}.{self.thumbprint}"


def jose_signature(algorithm: Algorithm, signature: bytes) -> bytes:
    """An X.509 signature as JOSE has it: ECDSA from a DER SEQUENCE to R ‖ S of fixed length (RFC 7518 §3.4)."""
    size = _COORDINATE.get(algorithm)
    if size is None:
        return signature
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def external_account_binding(external: ExternalBinding, signer: Signer, url: str) -> dict[str, str]:
    """The inner JWS of newAccount (§7.3.4): MACed with the CA's key, its payload the account's JWK, no nonce.

    Raises ConfigError for a MAC key that is not base64 and for an unknown algorithm; never shows the key.
    """
    mac = _MACS.get(external.algorithm.upper())
    if mac is None:
        raise ConfigError(
            f"{external.algorithm!r} is no algorithm for an external account binding", hint=f"use {', '.join(_MACS)}"
        )
    header = {"alg": mac.name, "kid": external.kid, "url": url}
    protected, body = b64url(_encode(header).encode()), b64url(_encode(signer.jwk).encode())
    signature = mac.sign(_mac_key(external), f"{protected}.{body}".encode("ascii"))
    return {"protected": protected, "payload": body, "signature": b64url(signature)}


def _mac_key(external: ExternalBinding) -> bytes:
    """The key's octets. CAs show base64url; what people paste may be padded, or standard base64, or wrapped."""
    text = re.sub(r"\s", "", external.mac_key.reveal()).rstrip("=").replace("+", "-").replace("/", "_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigError(
            f"the HMAC key for the external account {external.kid!r} is not base64url",
            hint="give it exactly as the CA shows it: letters, digits, '-' and '_'",
        ) from None
    return key


def _static_header(fields: Json) -> str:
    """JSON that lacks only nonce, url and the closing brace."""
    return f"{_encode(fields)[:-1]},"


def _flattened(protected: str, payload: str, signature: bytes) -> bytes:
    # base64url has no character that JSON would escape.
    text = f'{{"protected":"{protected}","payload":"{payload}","signature":"{b64url(signature)}"}}'
    return text.encode("ascii")


def _public(key: SigningKey) -> tuple[dict[str, str], str]:
    """The public JWK and its RFC 7638 thumbprint, base64url."""
    public = load_der_public_key(key.public_der)
    match public:
        case ec.EllipticCurvePublicKey():
            jwk: JWK = JWKEC(key=public)  # keeps leading zeros of the coordinates (RFC 7518 §6.2.1.2)
        case rsa.RSAPublicKey():
            jwk = JWKRSA(key=public)
        case ed25519.Ed25519PublicKey():
            return _okp(public)
        case _:
            raise TypeError(f"{key.type.label}: JOSE has no such key")
    return dict(jwk.to_json()), b64url(jwk.thumbprint())


def _okp(public: ed25519.Ed25519PublicKey) -> tuple[dict[str, str], str]:
    """RFC 8037 §2; josepy has no octet key pairs. No CA takes them for accounts, but a certificate may have one."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": b64url(public.public_bytes_raw())}
    digest = Hash(SHA256())
    digest.update(_encode(jwk).encode())  # already in the order of RFC 7638
    return jwk, b64url(digest.finalize())
