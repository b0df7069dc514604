"""Software keys: made, opened, signing and imported; clear words for every file that is no key of ours."""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from certd.keys.software import FileKeyStore, private_pem
from certd.model.errors import KeyStoreError
from certd.model.keys import ALGORITHM_OF, Algorithm, KeyStore, KeyType

HASHES = {KeyType.EC256: hashes.SHA256(), KeyType.EC384: hashes.SHA384(), KeyType.EC521: hashes.SHA512()}


def store() -> FileKeyStore:
    numbers = itertools.count(1)
    return FileKeyStore(lambda: f"key-{next(numbers)}")


def test_the_store_is_a_key_store() -> None:
    """The workflow sees the port only."""
    port: KeyStore = store()
    assert port


@pytest.mark.parametrize("type_", KeyType)
async def test_each_type_is_made_opened_and_signs_what_its_public_half_verifies(type_: KeyType) -> None:
    """The signature has the X.509 form, over the data and not over its digest."""
    keys = store()
    record = await keys.generate(type_)
    key = await keys.open(record)
    assert (key.type, record.type, record.kind, key.public_der) == (type_, type_, "file", record.public_der)
    signature = await key.sign(ALGORITHM_OF[type_], b"to be signed")
    match load_der_public_key(record.public_der):
        case ec.EllipticCurvePublicKey() as public:
            public.verify(signature, b"to be signed", ec.ECDSA(HASHES[type_]))
            assert public.curve.key_size == int(type_.value[2:])
        case rsa.RSAPublicKey() as public:
            public.verify(signature, b"to be signed", padding.PKCS1v15(), hashes.SHA256())
            assert public.key_size == int(type_.value[3:])
        case ed25519.Ed25519PublicKey() as public:
            public.verify(signature, b"to be signed")
        case other:
            pytest.fail(f"unexpected {other!r}")


async def test_each_key_is_new_and_has_its_own_id() -> None:
    keys = store()
    first, second = await keys.generate(KeyType.EC256), await keys.generate(KeyType.EC256)
    assert first.public_der != second.public_der
    assert (first.id, second.id) == ("key-1", "key-2")


async def test_making_an_rsa_key_leaves_the_loop_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two 2048-bit primes can take a second; challenges are answered by the same loop."""
    seen: list[str] = []
    real = rsa.generate_private_key

    def watched(exponent: int, size: int) -> rsa.RSAPrivateKey:
        seen.append(threading.current_thread().name)
        return real(exponent, size)

    monkeypatch.setattr(rsa, "generate_private_key", watched)
    await store().generate(KeyType.RSA2048)
    assert seen
    assert threading.main_thread().name not in seen


@pytest.mark.parametrize("type_", [KeyType.EC256, KeyType.RSA2048, KeyType.ED25519])
async def test_a_key_signs_with_its_own_algorithm_only(type_: KeyType) -> None:
    keys = store()
    key = await keys.open(await keys.generate(type_))
    for other in set(Algorithm) - {ALGORITHM_OF[type_]}:
        with pytest.raises(KeyStoreError, match="cannot sign with"):
            await key.sign(other, b"data")


async def test_neither_record_nor_key_prints_the_secret() -> None:
    """Records travel through logs and tracebacks."""
    keys = store()
    record = await keys.generate(KeyType.EC256)
    for text in (repr(record), str(record), repr(await keys.open(record))):
        assert repr(record.blob)[2:20] not in text
        assert "PRIVATE" not in text


async def test_a_damaged_or_swapped_blob_is_an_error_that_names_the_key() -> None:
    """One bad row must not become a certificate for the wrong key (invariant 2)."""
    keys = store()
    record, other = await keys.generate(KeyType.EC256), await keys.generate(KeyType.EC256)
    rsa_record = await keys.generate(KeyType.RSA2048)
    for broken, words in (
        (replace(record, blob=b""), "damaged"),
        (replace(record, blob=record.blob[:-7]), "damaged"),
        (replace(record, blob=other.blob), "do not belong together"),
        (replace(record, blob=rsa_record.blob), "not EC P-256"),
        (replace(record, type=KeyType.EC384), "not EC P-384"),
        (replace(record, kind="pkcs11"), "pkcs11"),
    ):
        with pytest.raises(KeyStoreError, match=words) as caught:
            await keys.open(broken)
        assert str(caught.value).startswith("key key-1")
        with pytest.raises(KeyStoreError):
            private_pem(broken)


async def test_no_changed_octet_in_a_stored_rsa_key_goes_unseen() -> None:
    """One wrong CRT number makes signatures from which the key can be computed."""
    keys = store()
    record = await keys.generate(KeyType.RSA2048)
    for place in range(0, len(record.blob), 7):
        blob = bytes((*record.blob[:place], record.blob[place] ^ 4, *record.blob[place + 1 :]))
        with pytest.raises(KeyStoreError):
            await keys.open(replace(record, blob=blob))


async def test_the_exported_pem_is_pkcs8_and_comes_back_as_the_same_key() -> None:
    keys = store()
    for type_ in (KeyType.EC256, KeyType.RSA2048, KeyType.ED25519):
        record = await keys.generate(type_)
        pem = private_pem(record)
        assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
        assert pem.endswith(b"-----END PRIVATE KEY-----\n")
        back = keys.import_key(pem, "privkey.pem")
        assert (back.blob, back.public_der, back.type) == (record.blob, record.public_der, type_)


P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
PKCS8, TRADITIONAL, OPENSSH = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL, PrivateFormat.OpenSSH
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


@pytest.mark.parametrize(
    ("data", "type_"),
    [
        (P256.private_bytes(Encoding.PEM, PKCS8, NoEncryption()), KeyType.EC256),
        (P256.private_bytes(Encoding.PEM, TRADITIONAL, NoEncryption()), KeyType.EC256),
        (P256.private_bytes(Encoding.DER, PKCS8, NoEncryption()), KeyType.EC256),
        (RSA.private_bytes(Encoding.PEM, TRADITIONAL, NoEncryption()), KeyType.RSA2048),
        (RSA.private_bytes(Encoding.DER, PKCS8, NoEncryption()), KeyType.RSA2048),
        (PARAMETERS + P256.private_bytes(Encoding.PEM, TRADITIONAL, NoEncryption()), KeyType.EC256),
        (CERTIFICATE + RSA.private_bytes(Encoding.PEM, PKCS8, NoEncryption()) + CERTIFICATE, KeyType.RSA2048),
        (b"Bag\r\n" + P256.private_bytes(Encoding.PEM, PKCS8, NoEncryption()).replace(b"\n", b"\r\n"), KeyType.EC256),
    ],
)
def test_key_files_of_the_usual_forms_are_imported(data: bytes, type_: KeyType) -> None:
    assert store().import_key(data, "key.pem").type is type_


ENCRYPTED = serialization.BestAvailableEncryption(b"secret")
WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
PLAIN = P256.private_bytes(Encoding.PEM, PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: P256.private_bytes(Encoding.PEM, PKCS8, ENCRYPTED), "encrypted"),
        (lambda: P256.private_bytes(Encoding.PEM, TRADITIONAL, ENCRYPTED), "encrypted"),
        (lambda: P256.private_bytes(Encoding.DER, PKCS8, ENCRYPTED), "encrypted"),
        (lambda: P256.private_bytes(Encoding.PEM, OPENSSH, NoEncryption()), "not a private key that certd can read"),
        (lambda: b"", "not a private key"),
        (lambda: b"\x00" * 100, "not a private key"),
        (lambda: CERTIFICATE, "no private key in this file: it holds a certificate"),
        (lambda: PLAIN[:-30], "no private key in this file: its PEM is cut off or damaged"),
        (lambda: PLAIN.replace(b"M", b"\xff", 1), "not a private key"),
        (lambda: PLAIN[:40] + b"AAAA" + PLAIN[40:], "not a private key"),
        (lambda: PLAIN + PLAIN, "2 private keys"),
        (lambda: b"x" * 70_000, "too long"),
        (lambda: x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PKCS8, NoEncryption()), "kind"),
        (lambda: ed448.Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PKCS8, NoEncryption()), "kind"),
        (lambda: dsa.generate_private_key(2048).private_bytes(Encoding.PEM, PKCS8, NoEncryption()), "kind"),
        (
            lambda: ec.generate_private_key(ec.SECP256K1()).private_bytes(Encoding.PEM, PKCS8, NoEncryption()),
            "secp256k1",
        ),
        (lambda: WEAK.private_bytes(Encoding.PEM, PKCS8, NoEncryption()), "1024 bits"),
    ],
)
def test_a_file_that_is_no_usable_key_says_why(make: Callable[[], bytes], words: str) -> None:
    """The file's name first, the reason, and never what stood in it."""
    data = make()
    with pytest.raises(KeyStoreError, match=words) as caught:
        store().import_key(data, "my.pem")
    assert str(caught.value).startswith("my.pem: ")
    assert caught.value.__cause__ is None, "parser texts may quote the key"
    if "encrypted" in words:
        assert "openssl pkey -in my.pem" in caught.value.hint


@settings(deadline=None, max_examples=1000)
@given(place=st.integers(0, len(PLAIN) - 1), bits=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_key_file_is_an_error_and_never_a_crash(place: int, bits: int, cut: bool) -> None:
    """FZ4: one octet changed, or the rest cut off, anywhere."""
    data = PLAIN[:place] if cut else bytes((*PLAIN[:place], PLAIN[place] ^ bits, *PLAIN[place + 1 :]))
    with contextlib.suppress(KeyStoreError):
        assert store().import_key(data, "my.pem").type is KeyType.EC256


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece", [b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN ", b"-----BEGIN A B PRIVATE KEY-----\n-"]
)
def test_a_file_made_to_be_slow_is_not(piece: bytes) -> None:
    """CVE-2024-12401: a PEM reader that looks for each end from each beginning."""
    for _ in range(20):
        with pytest.raises(KeyStoreError):
            store().import_key((piece * 7000)[:65536], "my.pem")


async def test_many_keys_can_be_made_at_once() -> None:
    keys = store()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(keys.generate(type_)) for type_ in (KeyType.EC256, KeyType.RSA2048) for _ in range(4)
        ]
    assert len({task.result().public_der for task in tasks}) == 8
