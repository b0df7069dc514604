"""Private keys as the rest of certd sees them: a type, a public half, and a signature that is awaited.

A key may be a PEM on disk, an object in an HSM or a remote signer; nobody above `certd.keys` can tell.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NewType, Protocol

KeyId = NewType("KeyId", str)


class KeyType(Enum):
    """What `--key-type` takes."""

    EC256 = "ec256"
    EC384 = "ec384"
    EC521 = "ec521"
    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"
    ED25519 = "ed25519"

    @property
    def label(self) -> str:
        """As people write it: `EC P-256`, `RSA 2048`, `Ed25519`."""
        if self is KeyType.ED25519:
            return "Ed25519"
        name: str = self.value
        return f"EC P-{name[2:]}" if name.startswith("ec") else f"RSA {name[3:]}"


class Algorithm(Enum):
    """JOSE names (RFC 7518 §3.1, RFC 8037); each also fixes the X.509 signature algorithm."""

    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    RS256 = "RS256"
    EDDSA = "EdDSA"


ALGORITHM_OF: dict[KeyType, Algorithm] = {
    KeyType.EC256: Algorithm.ES256,
    KeyType.EC384: Algorithm.ES384,
    KeyType.EC521: Algorithm.ES512,
    KeyType.RSA2048: Algorithm.RS256,
    KeyType.RSA3072: Algorithm.RS256,
    KeyType.RSA4096: Algorithm.RS256,
    KeyType.ED25519: Algorithm.EDDSA,
}

#: RFC 8555 §6.2 asks for ES256 of every server; the others are what public CAs take for accounts.
ACCOUNT_KEY_TYPES = frozenset({KeyType.EC256, KeyType.EC384, KeyType.RSA2048, KeyType.RSA3072, KeyType.RSA4096})


class SigningKey(Protocol):
    """A private key that can be asked for signatures."""

    @property
    def type(self) -> KeyType: ...

    @property
    def public_der(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        ...

    async def sign(self, algorithm: Algorithm, data: bytes) -> bytes:
        """Sign *data* (not its digest) and return the X.509 form: ECDSA as DER SEQUENCE, RSA PKCS#1 v1.5, Ed25519 raw.

        Raises KeyStoreError.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key in the ledger: `blob` is what its `kind` of store needs to open it (`file`: unencrypted PKCS#8 DER)."""

    id: KeyId
    kind: str
    type: KeyType
    blob: bytes
    public_der: bytes

    def __repr__(self) -> str:
        return f"KeyRecord(id={self.id!r}, kind={self.kind!r}, type={self.type})"


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What a desired certificate says about its key. `keep`: the next generation takes the same key again."""

    type: KeyType = KeyType.EC256
    keep: bool = False


class KeyStore(Protocol):
    """Makes and opens keys of one or several kinds."""

    async def generate(self, type_: KeyType) -> KeyRecord:
        """A new key, not stored anywhere but in the record (or the token behind it)."""
        ...

    async def open(self, record: KeyRecord) -> SigningKey:
        """Raises KeyStoreError when the blob does not fit its kind."""
        ...
