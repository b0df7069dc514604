"""The certificate for tls-alpn-01, byte by byte, and how it gets into OpenSSL without a file (RFC 8737 §3)."""

import os
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certd.listen import alpn_certificate
from certd.listen.alpn_certificate import AlpnContexts, make_certificate, server_context
from tests.fakes.clock import ManualClock
from tests.unit.listen.fakes import START, alpn_proof
from tests.unit.listen.validator import check


@pytest.mark.parametrize("name", ["example.org", "192.0.2.7", "2001:db8::1", "xn--mnchen-3ya.example"])
def test_the_certificate_has_what_the_rfc_asks_and_nothing_more(name: str) -> None:
    """One SAN entry equal to the identifier, one critical acmeIdentifier, no third extension."""
    proof = alpn_proof(name)
    check(make_certificate(proof, START).der, proof)


@pytest.mark.parametrize("other", ["example.com", "www.example.org", "192.0.2.8"])
def test_the_checker_of_these_tests_rejects_a_wrong_one(other: str) -> None:
    """A checker that accepts everything would prove nothing."""
    with pytest.raises(AssertionError):
        check(make_certificate(alpn_proof(other), START).der, alpn_proof())
    with pytest.raises(AssertionError):
        check(make_certificate(alpn_proof(token="another-token-of-some-length"), START).der, alpn_proof())


def test_the_key_is_p256_and_never_twice_the_same() -> None:
    """Each proof has its own key; none is ever stored."""
    first, second = (x509.load_der_x509_certificate(make_certificate(alpn_proof(), START).der) for _ in range(2))
    key = first.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert key != second.public_key()


def test_it_is_valid_for_a_validator_whose_clock_is_a_day_off() -> None:
    """Boulder does not look at the dates; a stricter CA may."""
    certificate = x509.load_der_x509_certificate(make_certificate(alpn_proof(), START).der)
    assert certificate.not_valid_before_utc <= START - timedelta(hours=23)
    assert certificate.not_valid_after_utc >= START + timedelta(days=8)


def test_the_private_key_is_not_in_the_repr() -> None:
    """Invariant 8."""
    assert "PRIVATE" not in repr(make_certificate(alpn_proof(), START))


def test_loading_leaves_no_file_and_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes through memory: not even a deleted file on disk."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    server_context(make_certificate(alpn_proof(), START))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_memfd_a_private_temporary_file_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may forbid memfd_create."""

    def forbidden(name: str, flags: int) -> int:
        raise PermissionError(name)

    monkeypatch.setattr(os, "memfd_create", forbidden)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    modes: list[int] = []
    with alpn_certificate._as_file(b"secret") as path:
        modes.append(Path(path).stat().st_mode & 0o777)
    server_context(make_certificate(alpn_proof(), START))
    assert modes == [0o600]
    assert list(tmp_path.iterdir()) == []


def test_contexts_resume_no_session_and_start_at_tls_1_2() -> None:
    """A resumed session would show no certificate, and RFC 8737 §4 wants TLS 1.2 or higher."""
    context = server_context(make_certificate(alpn_proof(), START))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET


def test_contexts_are_kept_by_use_and_bounded() -> None:
    """Memory stays bounded however many names are validated."""
    proofs = [alpn_proof(f"n{number}.example") for number in range(4)]
    contexts = AlpnContexts(ManualClock(START), most=3)
    first = contexts.context_for(proofs[0])
    second = contexts.context_for(proofs[1])
    contexts.context_for(proofs[2])
    assert contexts.context_for(proofs[0]) is first
    contexts.context_for(proofs[3])
    assert contexts.context_for(proofs[0]) is first
    assert contexts.context_for(proofs[1]) is not second
