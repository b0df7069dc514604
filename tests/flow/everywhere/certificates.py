"""What a certificate is, seen with `cryptography` alone."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.flow.everywhere.customer import Customer


def leaf_of(customer: Customer, name: str) -> x509.Certificate:
    """The live leaf of *name*, after a look at all of its files: one key, one chain, up to a root of the CA."""
    chain = x509.load_pem_x509_certificates(customer.live(name).read_bytes())
    leaf, *above = chain
    roots = [each for pem in customer.authority.roots() for each in x509.load_pem_x509_certificates(pem.encode())]
    for lower, upper in zip(chain, above, strict=False):
        lower.verify_directly_issued_by(upper)
    assert chain[-1] in roots or any(chain[-1].issuer == root.subject and _issued(chain[-1], root) for root in roots)
    assert x509.load_pem_x509_certificates(customer.live(name, "chain").read_bytes()) == above
    return leaf


def has_key(leaf: x509.Certificate, key_file: Path) -> bool:
    """Whether the key in *key_file* is the leaf's, and nobody but us may read it."""
    key = load_pem_private_key(key_file.read_bytes(), None).public_key()
    mode = key_file.stat().st_mode & 0o777
    assert mode == 0o600, f"{key_file}: {mode:o}"
    der = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(*der) == leaf.public_key().public_bytes(*der)


def names_of(leaf: x509.Certificate) -> set[str]:
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(each.value) for each in found}


def key_type_of(leaf: x509.Certificate) -> str:
    match leaf.public_key():
        case ec.EllipticCurvePublicKey() as key:
            return f"ec{key.curve.key_size}"
        case rsa.RSAPublicKey() as key:
            return f"rsa{key.key_size}"
        case ed25519.Ed25519PublicKey():
            return "ed25519"
        case other:
            raise AssertionError(other)


def _issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    lower.verify_directly_issued_by(upper)
    return True
