"""Keys that live in this process: made, opened and used with `cryptography` (kind `file`).

The blob of such a record is unencrypted PKCS#8 DER; whoever holds the record holds the key. Nothing here writes a file
or logs a key, and no error text carries key material.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from certd.keys.weakness import key_type, weakness
from certd.model.errors import KeyStoreError
from certd.model.keys import ALGORITHM_OF, Algorithm, KeyId, KeyRecord, KeyType, SigningKey

KIND = "file"

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_CURVES: dict[KeyType, ec.EllipticCurve] = {
    KeyType.EC256: ec.SECP256R1(),
    KeyType.EC384: ec.SECP384R1(),
    KeyType.EC521: ec.SECP521R1(),
}
_RSA_SIZES = {KeyType.RSA2048: 2048, KeyType.RSA3072: 3072, KeyType.RSA4096: 4096}
_ECDSA = {
    Algorithm.ES256: ec.ECDSA(hashes.SHA256()),
    Algorithm.ES384: ec.ECDSA(hashes.SHA384()),
    Algorithm.ES512: ec.ECDSA(hashes.SHA512()),
}

# The body ends at the next dashes, whatever they begin: a search that goes on past them is quadratic (CVE-2024-12401).
_PEM_KEY = re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----(?:[^-]|-(?!----))*-----END \1-----")
_LONGEST_KEY_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileKeyStore:
    """The KeyStore of kind `file`. `new_id` names each new record."""

    new_id: Callable[[], str]

    async def generate(self, type_: KeyType) -> KeyRecord:
        """A new key. RSA is made in a thread: finding two primes takes 10 ms to seconds."""
        if type_ in _RSA_SIZES:
            key: PrivateKey = await asyncio.to_thread(rsa.generate_private_key, 65537, _RSA_SIZES[type_])
        elif type_ in _CURVES:
            key = ec.generate_private_key(_CURVES[type_])
        else:
            key = ed25519.Ed25519PrivateKey.generate()
        return self._record(key, type_)

    async def open(self, record: KeyRecord) -> SigningKey:
        """Raises KeyStoreError when the blob is damaged, or is not the key that the record says it is."""
        return SoftwareKey(_load(record), record.type, record.public_der)

    def import_key(self, data: bytes, source: str) -> KeyRecord:
        """A record of the one private key in *data*: PEM (PKCS#8, PKCS#1, SEC 1; other blocks around it) or DER.

        *source* names the file in errors. Raises KeyStoreError: encrypted, no key, several keys, weak.
        """
        key = _parse_private_key(data, source)
        public = key.public_key()
        if why := weakness(public):
            raise KeyStoreError(f"{source}: the key is {why}")
        type_ = key_type(public)
        if type_ is None:
            raise KeyStoreError(f"{source}: the key is of a kind that certd does not use")
        return self._record(key, type_)

    def _record(self, key: PrivateKey, type_: KeyType) -> KeyRecord:
        blob = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return KeyRecord(KeyId(self.new_id()), KIND, type_, blob, _public_der(key))


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """An opened key. Signing takes microseconds (RSA 4096: 2 ms), so it is not sent to a thread."""

    _key: PrivateKey = field(repr=False)
    type: KeyType
    public_der: bytes

    async def sign(self, algorithm: Algorithm, data: bytes) -> bytes:
        """Raises KeyStoreError for an algorithm of another key type."""
        if ALGORITHM_OF[self.type] is not algorithm:
            raise KeyStoreError(f"{self.type.label} key: cannot sign with {algorithm.value}")
        match self._key:
            case ec.EllipticCurvePrivateKey():
                return self._key.sign(data, _ECDSA[algorithm])
            case rsa.RSAPrivateKey():
                return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            case _:
                return self._key.sign(data)


def private_pem(record: KeyRecord) -> bytes:
    """The private key as PEM (PKCS#8, unencrypted) for servers. Raises KeyStoreError for keys that cannot leave."""
    return _load(record).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load(record: KeyRecord) -> PrivateKey:
    if record.kind != KIND:
        raise KeyStoreError(f"key {record.id}: it is kept as {record.kind!r}, not on this machine")
    try:
        # Testing the primes again takes 35 to 250 ms on the loop, at each use of a key whose primes were tested when it
        # was made or imported; that the numbers still belong together is checked below, and costs microseconds.
        key = serialization.load_der_private_key(record.blob, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Parsers put what they read into their texts: the cause stays out of the message and out of the traceback.
        raise KeyStoreError(
            f"key {record.id}: the stored key is damaged", hint="restore the state directory from a backup"
        ) from None
    if not isinstance(key, PrivateKey) or key_type(key.public_key()) is not record.type:
        raise KeyStoreError(f"key {record.id}: the stored key is not {record.type.label}")
    if _public_der(key) != record.public_der or not _hangs_together(key):
        raise KeyStoreError(f"key {record.id}: private and public half do not belong together")
    return key


def _hangs_together(key: PrivateKey) -> bool:
    """RSA: a changed number would make signatures that betray the key (RFC 8017 §3.2 has the relations)."""
    if not isinstance(key, rsa.RSAPrivateKey):
        return True
    numbers = key.private_numbers()
    p, q, d, e = numbers.p, numbers.q, numbers.d, numbers.public_numbers.e
    return (
        min(p, q) > 1
        and p * q == numbers.public_numbers.n
        and d * e % (p - 1) == 1
        and d * e % (q - 1) == 1
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == 1
    )


def _public_der(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _parse_private_key(data: bytes, source: str) -> PrivateKey:
    if len(data) > _LONGEST_KEY_FILE:
        raise KeyStoreError(f"{source}: too long for a private key ({len(data)} bytes)")
    block = _key_block(data, source)
    encrypted = KeyStoreError(
        f"{source}: the key is encrypted, and certd has no passphrase for it",
        hint=f"write an unencrypted copy: openssl pkey -in {source} -out plain.pem",
    )
    if b"ENCRYPTED" in block:
        raise encrypted
    try:
        if block.startswith(b"-----"):
            key = serialization.load_pem_private_key(block, None)
        else:
            key = serialization.load_der_private_key(block, None)
    except TypeError:  # cryptography's word for "a password is needed"
        raise encrypted from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyStoreError(f"{source}: not a private key that certd can read (PKCS#8, PKCS#1 or SEC 1)") from None
    if not isinstance(key, PrivateKey):
        raise KeyStoreError(f"{source}: the key is of a kind that certd does not use")
    return key


def _key_block(data: bytes, source: str) -> bytes:
    """The one PEM block of a private key among others (`openssl ecparam` writes the curve before it), or DER as is."""
    if b"-----BEGIN " not in data:
        return data
    blocks = [found.group(0) for found in _PEM_KEY.finditer(data)]
    if len(blocks) > 1:
        raise KeyStoreError(f"{source}: {len(blocks)} private keys in one file; one is needed")
    if not blocks:
        first = re.search(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", data)
        label = first.group(1).decode("ascii").lower() if first else "private key"
        what = "its PEM is cut off or damaged" if "private key" in label else f"it holds a {label}"
        raise KeyStoreError(f"{source}: no private key in this file: {what}")
    return blocks[0]
