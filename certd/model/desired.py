"""What some source wants: the one form that configuration, one-shots and later sources meet in."""

import json
from dataclasses import dataclass, field
from typing import Any

from certd.model.acme import IssuerId
from certd.model.identifiers import CertName, Identifier, from_set_key, set_key
from certd.model.keys import KeyType, KeyWish


@dataclass(frozen=True, slots=True)
class Desired:
    """A certificate somebody wants. `csr`: DER of a request made elsewhere; its key never was ours, then."""

    name: CertName
    identifiers: tuple[Identifier, ...]
    issuer: IssuerId
    key: KeyWish = field(default_factory=KeyWish)
    profile: str = ""
    preferred_chain: str = ""
    csr: bytes | None = None

    @property
    def set_key(self) -> str:
        return set_key(self.identifiers)

    def to_json(self) -> str:
        """Canonical, so that equal wishes are equal texts."""
        document = {
            "identifiers": self.set_key,
            "issuer": self.issuer,
            "key": {"keep": self.key.keep, "type": self.key.type.value},
            "preferred_chain": self.preferred_chain,
            "profile": self.profile,
            "csr": self.csr.hex() if self.csr else "",
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, name: CertName, text: str) -> "Desired":
        document: dict[str, Any] = json.loads(text)
        return cls(
            name=name,
            identifiers=from_set_key(document["identifiers"]),
            issuer=IssuerId(document["issuer"]),
            key=KeyWish(KeyType(document["key"]["type"]), keep=document["key"]["keep"]),
            profile=document["profile"],
            preferred_chain=document["preferred_chain"],
            csr=bytes.fromhex(document["csr"]) or None,
        )
