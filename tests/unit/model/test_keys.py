"""Keys as values: what people call them, what they can sign with, and that none shows itself."""

import logging

import pytest

from certd.model.keys import ACCOUNT_KEY_TYPES, ALGORITHM_OF, Algorithm, KeyId, KeyRecord, KeyType, KeyWish


@pytest.mark.parametrize(
    ("type_", "option", "label", "algorithm"),
    [
        (KeyType.EC256, "ec256", "EC P-256", Algorithm.ES256),
        (KeyType.EC384, "ec384", "EC P-384", Algorithm.ES384),
        (KeyType.EC521, "ec521", "EC P-521", Algorithm.ES512),
        (KeyType.RSA2048, "rsa2048", "RSA 2048", Algorithm.RS256),
        (KeyType.RSA3072, "rsa3072", "RSA 3072", Algorithm.RS256),
        (KeyType.RSA4096, "rsa4096", "RSA 4096", Algorithm.RS256),
        (KeyType.ED25519, "ed25519", "Ed25519", Algorithm.EDDSA),
    ],
)
def test_each_type_has_its_option_its_label_and_its_algorithm(
    type_: KeyType, option: str, label: str, algorithm: Algorithm
) -> None:
    assert (KeyType(option), type_.label, ALGORITHM_OF[type_]) == (type_, label, algorithm)


def test_every_type_is_in_the_tables() -> None:
    assert set(ALGORITHM_OF) == set(KeyType)
    assert set(Algorithm) == set(ALGORITHM_OF.values())


def test_accounts_have_keys_that_public_cas_take() -> None:
    """Let's Encrypt takes P-256, P-384 and RSA of 2048 to 4096 bits; no Ed25519, no P-521."""
    assert set(KeyType) - ACCOUNT_KEY_TYPES == {KeyType.EC521, KeyType.ED25519}


def test_the_default_is_a_new_p256_key_each_time() -> None:
    assert KeyWish() == KeyWish(KeyType.EC256, keep=False)


def test_a_key_record_never_shows_its_key(caplog: pytest.LogCaptureFixture) -> None:
    """Invariant 8: records go into messages of assertions, logs and tracebacks."""
    record = KeyRecord(KeyId("k1"), "file", KeyType.EC256, b"top-secret-bytes", b"public")
    logging.getLogger("test").warning("%s %r", record, [record], extra={"record": record})
    for shown in (repr(record), str(record), f"{record}", str([record]), str({"k": record}), caplog.text):
        assert "top-secret" not in shown
        assert "k1" in shown
