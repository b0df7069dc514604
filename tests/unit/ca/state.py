"""What the fake CA knows: accounts, orders, authorizations, and the certificates it really signs. No HTTP."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.ca import jose
from tests.unit.keys.pki import Issuer, make_issuer

Answer = tuple[int, object, dict[str, str]]


class Refused(Exception):
    def __init__(self, kind: str, status: int, detail: str = "") -> None:
        super().__init__(kind)
        self.kind, self.status, self.detail = kind, status, detail or kind


@dataclass
class State:
    """Everything is found by the last part of its URL."""

    base: str
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    jwks: dict[str, dict[str, Any]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    authorizations: dict[str, dict[str, Any]] = field(default_factory=dict)
    chains: dict[str, list[bytes]] = field(default_factory=dict)
    revoked: dict[bytes, int] = field(default_factory=dict)
    renewal: dict[str, Any] = field(
        default_factory=lambda: {
            "suggestedWindow": {"start": "2027-01-22T10:00:00Z", "end": "2027-01-24T10:00:00Z"},
        }
    )
    renewal_headers: dict[str, str] = field(default_factory=lambda: {"Retry-After": "21600"})
    meta: dict[str, Any] = field(
        default_factory=lambda: {
            "termsOfService": "https://ca.example/terms",
            "caaIdentities": ["ca.example"],
            "profiles": {"default": "the usual", "shortlived": "six days"},
        }
    )
    eab_keys: dict[str, bytes] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)  # resources that the directory does not name
    orders_per_page: int = 2
    reuses_orders: bool = False
    polls_of_processing: int = 1
    issuer: Issuer = field(default_factory=lambda: make_issuer("Fake Issuing CA", by=make_issuer("Fake Root")))

    def url(self, *parts: object) -> str:
        return "/".join([self.base, *map(str, parts)])

    def directory(self) -> dict[str, Any]:
        urls = {
            "newNonce": self.url("nonce"),
            "newAccount": self.url("new-account"),
            "newOrder": self.url("new-order"),
            "newAuthz": self.url("new-authz"),
            "revokeCert": self.url("revoke"),
            "keyChange": self.url("key-change"),
            "renewalInfo": self.url("ari"),
            "Bq7hXz1cNwE": "https://community.letsencrypt.org/t/adding-random-entries-to-the-directory/33417",
        }
        return {name: url for name, url in urls.items() if name not in self.without} | {"meta": self.meta}

    def get(self, kind: str, path: str) -> Answer:
        match kind:
            case "directory":
                return 200, self.directory(), {}
            case "newNonce":
                return 200, b"", {}
            case _:
                return 200, self.renewal, self.renewal_headers

    def post(self, kind: str, path: str, jws: jose.Jws) -> Answer:
        payload: Any = json.loads(jws.payload) if jws.payload else None
        key = path.rsplit("/", 1)[-1].split("?", maxsplit=1)[0]
        if kind == "newAccount":
            return self._new_account(jws, payload)
        if kind == "revokeCert":
            return self._revoke(jws, payload)
        owner = self._owner(jws)
        handlers = {
            "account": self._account,
            "keyChange": self._key_change,
            "orders": self._orders,
            "newOrder": self._new_order,
            "order": self._order,
            "newAuthz": self._new_authz,
            "authorization": self._authorization,
            "challenge": self._challenge,
            "finalize": self._finalize,
            "certificate": self._certificate,
        }
        return handlers[kind](owner, key, payload, jws)

    def _owner(self, jws: jose.Jws) -> str:
        kid = str(jws.protected.get("kid", ""))
        owner = kid.rsplit("/", 1)[-1]
        if kid != self.url("account", owner) or owner not in self.accounts:
            raise Refused("accountDoesNotExist", 400, f"no account {kid}")
        jose.verify(jws, jose.public_key(self.jwks[owner]))
        if self.accounts[owner]["status"] != "valid":
            raise Refused("unauthorized", 401, "the account is deactivated")
        return owner

    def _new_account(self, jws: jose.Jws, payload: dict[str, Any]) -> Answer:
        jwk = jws.protected["jwk"]
        jose.verify(jws, jose.public_key(jwk))
        known = next((owner for owner, other in self.jwks.items() if other == jwk), None)
        if known is not None:
            return 200, self.accounts[known], {"Location": self.url("account", known)}
        if payload.get("onlyReturnExisting"):
            raise Refused("accountDoesNotExist", 400, "there is no account with this key")
        if self.meta.get("termsOfService") and not payload.get("termsOfServiceAgreed"):
            raise Refused("userActionRequired", 403, "agree to the terms of service")
        if self.eab_keys:
            self._check_eab(payload.get("externalAccountBinding"), jwk)
        owner = str(len(self.accounts) + 1)
        self.jwks[owner] = jwk
        self.accounts[owner] = {
            "status": "valid",
            "contact": payload.get("contact", []),
            "termsOfServiceAgreed": True,
            "orders": self.url("orders", owner),
        }
        return 201, self.accounts[owner], {"Location": self.url("account", owner)}

    def _check_eab(self, binding: dict[str, str] | None, jwk: dict[str, Any]) -> None:
        if binding is None:
            raise Refused("externalAccountRequired", 403)
        inner = jose.parse(json.dumps(binding))
        if set(inner.protected) != {"alg", "kid", "url"} or inner.protected["url"] != self.url("new-account"):
            raise jose.BadJws(f"EAB header {inner.protected} (R28)")
        if json.loads(inner.payload) != jwk:
            raise jose.BadJws("EAB payload is not the account's JWK (R28)")
        key = self.eab_keys.get(inner.protected["kid"])
        if key is None:
            raise Refused("unauthorized", 403, "unknown EAB kid")
        try:
            jose.verify_mac(inner, key)
        except jose.BadJws:
            raise Refused("unauthorized", 403, "the EAB does not verify") from None

    def _account(self, owner: str, key: str, payload: Any, _: jose.Jws) -> Answer:
        if payload is not None:
            self.accounts[owner] |= payload
        return 200, self.accounts[owner], {}

    def _key_change(self, owner: str, key: str, payload: Any, jws: jose.Jws) -> Answer:
        inner = jose.parse(jws.payload)
        jwk: Any = inner.protected.get("jwk")
        if "nonce" in inner.protected or "kid" in inner.protected or inner.protected["url"] != jws.protected["url"]:
            raise jose.BadJws(f"inner JWS of keyChange: {inner.protected} (R29)")
        jose.verify(inner, jose.public_key(jwk))
        if json.loads(inner.payload) != {"account": self.url("account", owner), "oldKey": self.jwks[owner]}:
            raise jose.BadJws("payload of keyChange (R29)")
        for other, known in self.jwks.items():
            if known == jwk:
                raise Refused("conflict", 409, f"that key belongs to account {other}")
        self.jwks[owner] = jwk
        return 200, self.accounts[owner], {}

    def _orders(self, owner: str, key: str, payload: Any, jws: jose.Jws) -> Answer:
        first = int(jws.protected["url"].partition("cursor=")[2] or 0)
        urls = [self.url("order", number) for number in self.orders]
        page = urls[first : first + self.orders_per_page]
        last = first + self.orders_per_page
        more = {"Link": f'<{self.url("orders", owner)}?cursor={last}>;rel="next"'} if last < len(urls) else {}
        return 200, {"orders": page}, more

    def _new_order(self, owner: str, key: str, payload: dict[str, Any], _: jose.Jws) -> Answer:
        for known, order in self.orders.items():
            if self.reuses_orders and order["identifiers"] == payload["identifiers"][::-1]:
                return 201, order, {"Location": self.url("order", known)}
        number = str(len(self.orders) + 1)
        urls = [self._authorize(i) for i in payload["identifiers"]]
        self.orders[number] = {
            "status": "pending",
            "expires": "2026-12-01T00:00:00.123456789Z",
            "identifiers": payload["identifiers"][::-1],
            "authorizations": urls[::-1],
            "finalize": self.url("finalize", number),
            **({"profile": payload["profile"]} if "profile" in payload else {}),
            "unknown": {"field": [1, 2, 3]},
        }
        return 201, self.orders[number], {"Location": self.url("order", number)}

    def _authorize(self, identifier: dict[str, str]) -> str:
        number = str(len(self.authorizations) + 1)
        wildcard = identifier["value"].startswith("*.")
        types = ["dns-01"] if wildcard else ["tls-alpn-01", "x-foo-99", "http-01", "dns-01"]
        self.authorizations[number] = {
            "status": "pending",
            "expires": "2026-12-01T00:00:00Z",
            "identifier": identifier | {"value": identifier["value"].removeprefix("*.")},
            "challenges": [
                {
                    "type": type_,
                    "status": "pending",
                    "url": self.url("challenge", type_, number),
                    "token": f"t0ken-of_{number}-{type_}-aaaaaaaaaaaaaaaaaaaa",
                }
                for type_ in types
            ],
            **({"wildcard": True} if wildcard else {}),
        }
        return self.url("authz", number)

    def _order(self, owner: str, key: str, payload: Any, _: jose.Jws) -> Answer:
        order = self.orders[key]
        states = [self.authorizations[url.rsplit("/", 1)[-1]]["status"] for url in order["authorizations"]]
        if order["status"] == "pending" and all(state == "valid" for state in states):
            order["status"] = "ready"
        elif order["status"] == "processing":
            self.polls_of_processing -= 1
            if self.polls_of_processing <= 0:
                order |= {"status": "valid", "certificate": self.url("cert", key)}
        return 200, order, {}

    def _new_authz(self, owner: str, key: str, payload: dict[str, Any], _: jose.Jws) -> Answer:
        url = self._authorize(payload["identifier"])
        return 201, self.authorizations[url.rsplit("/", 1)[-1]], {"Location": url}

    def _authorization(self, owner: str, key: str, payload: Any, _: jose.Jws) -> Answer:
        if payload is not None:
            self.authorizations[key] |= payload
        return 200, self.authorizations[key], {}

    def _challenge(self, owner: str, key: str, payload: Any, jws: jose.Jws) -> Answer:
        if payload != {}:
            raise jose.BadJws(f"answer to a challenge with {payload} (R9)")
        authorization = self.authorizations[key]
        authorization["status"] = "valid"
        found = next(c for c in authorization["challenges"] if c["url"] == jws.protected["url"])
        found["status"] = "valid"
        return 200, found, {"Link": f'<{self.url("authz", key)}>;rel="up"'}

    def _finalize(self, owner: str, key: str, payload: dict[str, Any], _: jose.Jws) -> Answer:
        order = self.orders[key]
        if order["status"] != "ready":
            raise Refused("orderNotReady", 403, f"the order is {order['status']}")
        csr = x509.load_der_x509_csr(jose.decode(payload["csr"]))
        self.chains[key] = [self._issue(csr), self.issuer.der]
        order["status"] = "processing"
        return 200, order, {"Location": self.url("order", key), "Retry-After": "1"}

    def _issue(self, csr: x509.CertificateSigningRequest) -> bytes:
        from tests.unit.keys.pki import make_leaf

        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = csr.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return make_leaf(self.issuer, key, names=(), more=tuple(names))

    def _certificate(self, owner: str, key: str, payload: Any, _: jose.Jws) -> Answer:
        headers = {"Content-Type": "application/pem-certificate-chain"}
        return 200, pem(*self.chains[key]), headers

    def _revoke(self, jws: jose.Jws, payload: dict[str, Any]) -> Answer:
        der = jose.decode(payload["certificate"])
        if "jwk" in jws.protected:
            key = jose.public_key(jws.protected["jwk"])
            if key != x509.load_der_x509_certificate(der).public_key():
                raise Refused("unauthorized", 403, "not the certificate's key")
            jose.verify(jws, key)
        else:
            self._owner(jws)
        if der in self.revoked:
            raise Refused("alreadyRevoked", 400)
        self.revoked[der] = payload.get("reason", 0)
        return 200, b"", {}


def pem(*ders: bytes) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
