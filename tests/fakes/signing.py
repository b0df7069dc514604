"""Signing keys for tests of whoever takes a `SigningKey`: plain cryptography, and none of certd.keys."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from certd.model.keys import Algorithm, KeyType

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_CURVES: dict[KeyType, ec.EllipticCurve] = {
    KeyType.EC256: ec.SECP256R1(),
    KeyType.EC384: ec.SECP384R1(),
    KeyType.EC521: ec.SECP521R1(),
}
_HASHES: dict[Algorithm, hashes.HashAlgorithm] = {
    Algorithm.ES256: hashes.SHA256(),
    Algorithm.ES384: hashes.SHA384(),
    Algorithm.ES512: hashes.SHA512(),
}


@dataclass
class FakeKey:
    """A private key in this process; `signatures` counts what it was asked for."""

    key: PrivateKey
    type: KeyType
    signatures: int = field(default=0)

    @classmethod
    def make(cls, type_: KeyType = KeyType.EC256) -> "FakeKey":
        if type_ is KeyType.ED25519:
            return cls(ed25519.Ed25519PrivateKey.generate(), type_)
        if type_ in _CURVES:
            return cls(ec.generate_private_key(_CURVES[type_]), type_)
        return cls(rsa.generate_private_key(65537, int(type_.value[3:])), type_)

    @property
    def public_der(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    async def sign(self, algorithm: Algorithm, data: bytes) -> bytes:
        self.signatures += 1
        match self.key:
            case ec.EllipticCurvePrivateKey():
                return self.key.sign(data, ec.ECDSA(_HASHES[algorithm]))
            case rsa.RSAPrivateKey():
                return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            case _:
                return self.key.sign(data)


def ec_key_with_leading_zero(coordinate: str) -> FakeKey:
    """A P-256 key whose `x` or `y` begins with a zero octet: one in 256 has it."""
    while True:
        key = FakeKey.make(KeyType.EC256)
        assert isinstance(key.key, ec.EllipticCurvePrivateKey)
        if getattr(key.key.public_key().public_numbers(), coordinate) < 1 << 248:
            return key
