"""A tiny ACME client that shares nothing with certd or devca, and can misbehave in every part of a request.

`Twist` says how: each field is a change to one layer, from the protected header to the HTTP headers. Works against any
ACME server, so that devca and Pebble can be asked the same wrong things.
"""

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from multidict import CIMultiDictProxy
from yarl import URL

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Json = dict[str, Any]
URN = "urn:ietf:params:acme:error:"
EC_NAMES = {
    "secp256r1": ("P-256", "ES256", 32),
    "secp384r1": ("P-384", "ES384", 48),
    "secp521r1": ("P-521", "ES512", 66),
}
EC_HASHES: dict[str, hashes.HashAlgorithm] = {
    "ES256": hashes.SHA256(),
    "ES384": hashes.SHA384(),
    "ES512": hashes.SHA512(),
}
MOST_BAD_NONCES = 30


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: Key) -> Json:
    match key:
        case ec.EllipticCurvePrivateKey():
            name, _, size = EC_NAMES[key.curve.name]
            point = key.public_key().public_numbers()
            return {"kty": "EC", "crv": name, "x": b64(point.x.to_bytes(size)), "y": b64(point.y.to_bytes(size))}
        case rsa.RSAPrivateKey():
            n, e = key.public_key().public_numbers().n, key.public_key().public_numbers().e
            return {
                "kty": "RSA",
                "n": b64(n.to_bytes(key.key_size // 8)),
                "e": b64(e.to_bytes((e.bit_length() + 7) // 8)),
            }
        case _:
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}


def thumbprint(key: Key) -> str:
    return b64(hashlib.sha256(json.dumps(jwk_of(key), sort_keys=True, separators=(",", ":")).encode()).digest())


def algorithm_of(key: Key) -> str:
    match key:
        case ec.EllipticCurvePrivateKey():
            return EC_NAMES[key.curve.name][1]
        case rsa.RSAPrivateKey():
            return "RS256"
        case _:
            return "EdDSA"


def signature(key: Key, signed: bytes, *, der: bool = False) -> bytes:
    match key:
        case ec.EllipticCurvePrivateKey():
            _, algorithm, size = EC_NAMES[key.curve.name]
            found = key.sign(signed, ec.ECDSA(EC_HASHES[algorithm]))
            r, s = decode_dss_signature(found)
            return found if der else r.to_bytes(size) + s.to_bytes(size)
        case rsa.RSAPrivateKey():
            return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        case _:
            return key.sign(signed)


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Twist:
    """How a request differs from what RFC 8555 wants. `retries`: whether badNonce is answered with another try."""

    header: Callable[[Json], Json] = _same  # the protected header
    encode: Callable[[bytes], str] = b64  # how each part of the JWS is encoded
    sign: Callable[[Key, bytes], bytes] = signature
    envelope: Callable[[Json], Json] = _same  # the flattened JWS
    http: Callable[[dict[str, str]], dict[str, str]] = _same  # HTTP headers
    sign_with: Key | None = None
    retries: bool = True


PLAIN = Twist()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.body)
        return found

    @property
    def problem(self) -> str | None:
        """The type of the problem, without namespace; "" for an error without one; None for a success."""
        if self.status < 400:
            return None
        if not self.headers.get("Content-Type", "").startswith("application/problem+json"):
            return ""
        return str(self.json.get("type", "")).removeprefix(URN)

    @property
    def location(self) -> str:
        return self.headers["Location"]

    def links(self, relation: str) -> list[str]:
        found = [each.partition(";") for each in self.headers.getall("Link", [])]
        return [url.strip("<> ") for url, _, rest in found if rest.replace(" ", "") == f'rel="{relation}"']


@dataclass
class RawClient:
    """One account key; `kid` once there is an account."""

    http: aiohttp.ClientSession
    directory_url: str
    trust: ssl.SSLContext
    key: Key = field(default_factory=new_key)
    kid: str | None = None
    directory: Json = field(default_factory=dict)
    nonces: list[str] = field(default_factory=list)

    async def get(self, url: str, **headers: str) -> Answer:
        return await self._send("GET", url, headers)

    async def load_directory(self) -> Json:
        self.directory = (await self.get(self.directory_url)).json
        return self.directory

    async def new_nonce(self) -> str:
        answer = await self._send("HEAD", self.directory["newNonce"], {})
        return answer.headers["Replay-Nonce"]

    async def post(
        self, url: str, payload: Json | bytes | str = "", twist: Twist = PLAIN, *, by_key: bool = False
    ) -> Answer:
        """Payload "" is POST-as-GET. Signed with `kid`, or with `jwk` where *by_key*."""
        data = payload.encode() if isinstance(payload, str) else payload
        data = json.dumps(data).encode() if isinstance(data, dict) else data
        tries = 0
        while True:
            answer = await self._post_once(url, data, twist, by_key=by_key)
            tries += 1
            if not (twist.retries and answer.problem == "badNonce" and tries < MOST_BAD_NONCES):
                return answer

    def jws(self, header: Json, payload: bytes, twist: Twist = PLAIN, key: Key | None = None) -> Json:
        protected, body = twist.encode(json.dumps(twist.header(header)).encode()), twist.encode(payload)
        signed = f"{protected}.{body}".encode()
        made = twist.sign(key or twist.sign_with or self.key, signed)
        return twist.envelope({"protected": protected, "payload": body, "signature": twist.encode(made)})

    async def register(self, twist: Twist = PLAIN, **fields: Any) -> Answer:
        """newAccount, with the terms agreed to unless *fields* says otherwise; remembers the kid."""
        if not self.directory:
            await self.load_directory()
        answer = await self.post(
            self.directory["newAccount"], {"termsOfServiceAgreed": True} | fields, twist, by_key=True
        )
        if answer.status in (200, 201):
            self.kid = answer.location
        return answer

    async def new_order(self, *names: str, **fields: Any) -> Answer:
        return await self.post(
            self.directory["newOrder"], {"identifiers": [identifier(each) for each in names]} | fields
        )

    async def challenge(self, authorization_url: str, kind: str) -> Json:
        found = (await self.post(authorization_url)).json
        return next(each for each in found["challenges"] if each["type"] == kind)

    def key_authorization(self, token: str) -> str:
        return f"{token}.{thumbprint(self.key)}"

    async def settled(self, url: str, *, while_: Sequence[str], pause: Callable[[], Awaitable[object]]) -> Json:
        """The document at *url* once its status is none of *while_*."""
        while True:
            found = (await self.post(url)).json
            if found["status"] not in while_:
                return found
            await pause()

    async def finalize(self, order: Json, csr: bytes, twist: Twist = PLAIN) -> Answer:
        return await self.post(order["finalize"], {"csr": b64(csr)}, twist)

    def external_binding(self, kid: str, mac_key: bytes, digest: str = "sha256", **changes: Any) -> Json:
        algorithm = {"sha256": "HS256", "sha384": "HS384", "sha512": "HS512"}[digest]
        header = {"alg": algorithm, "kid": kid, "url": self.directory["newAccount"]} | changes
        protected = b64(json.dumps(header).encode())
        payload = b64(json.dumps(jwk_of(self.key)).encode())
        mac = hmac.digest(mac_key, f"{protected}.{payload}".encode(), digest)
        return {"protected": protected, "payload": payload, "signature": b64(mac)}

    async def _post_once(self, url: str, payload: bytes, twist: Twist, *, by_key: bool) -> Answer:
        nonce = self.nonces.pop() if self.nonces else await self.new_nonce()
        header: Json = {"alg": algorithm_of(self.key), "nonce": nonce, "url": url}
        header |= {"jwk": jwk_of(self.key)} if by_key else {"kid": self.kid}
        body = json.dumps(self.jws(header, payload, twist)).encode()
        return await self._send("POST", url, twist.http({"Content-Type": "application/jose+json"}), body)

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        sent = {"User-Agent": "certd-tests/1"} | dict(headers)
        async with self.http.request(
            method, URL(url, encoded=True), data=body, headers=sent, ssl=self.trust, allow_redirects=False
        ) as reply:
            if "Replay-Nonce" in reply.headers:
                self.nonces.append(reply.headers["Replay-Nonce"])
                del self.nonces[:-5]
            return Answer(reply.status, reply.headers, await reply.read())


def identifier(name: str) -> Json:
    try:
        ip_address(name)
    except ValueError:
        return {"type": "dns", "value": name}
    return {"type": "ip", "value": name}


def csr_for(
    key: Any, *names: str, common_name: str | None = None, extensions: Sequence[x509.ExtensionType] = ()
) -> bytes:
    """A request for *names*, DER."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name is not None else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    listed: list[x509.GeneralName] = []
    for each in names:
        try:
            listed.append(x509.IPAddress(ip_address(each)))
        except ValueError:
            listed.append(x509.DNSName(each))
    if listed:
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)
