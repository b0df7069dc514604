"""Problem documents: each type has one reaction, and what no table names is decided by its HTTP class (R15)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.model.problems import REACTIONS, URN, Problem, Reaction

# The registry, typed anew from RFC 8555 §6.7, then RFC 8739, 9115, 9773, 9799 and the drafts; `conflict` is Boulder's.
RFC_8555 = [
    "accountDoesNotExist",
    "alreadyRevoked",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "compound",
    "connection",
    "dns",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
]
LATER = [
    "autoRenewalCanceled",
    "autoRenewalExpired",
    "autoRenewalCancellationInvalid",
    "autoRenewalRevocationNotSupported",
    "unknownDelegation",
    "alreadyReplaced",
    "onionCAARequired",
    "invalidProfile",
    "badAttestationStatement",
    "conflict",
]


def test_every_registered_type_is_in_the_table_and_nothing_else() -> None:
    assert set(REACTIONS) == {*RFC_8555, *LATER}


@pytest.mark.parametrize(
    ("kind", "reaction"),
    [
        ("badNonce", Reaction.NEW_NONCE),
        ("serverInternal", Reaction.LATER),
        ("rateLimited", Reaction.LATER),
        ("connection", Reaction.LATER),
        ("dns", Reaction.LATER),
        ("tls", Reaction.LATER),
        ("incorrectResponse", Reaction.LATER),
        ("caa", Reaction.LATER),
        ("compound", Reaction.LATER),
        ("orderNotReady", Reaction.POLL),
        ("badCSR", Reaction.NEW_KEY),
        ("badPublicKey", Reaction.NEW_KEY),
        ("badSignatureAlgorithm", Reaction.NEW_KEY),
        ("malformed", Reaction.NEW_ORDER),
        ("rejectedIdentifier", Reaction.CONFIGURATION),
        ("unsupportedIdentifier", Reaction.CONFIGURATION),
        ("unsupportedContact", Reaction.CONFIGURATION),
        ("invalidContact", Reaction.CONFIGURATION),
        ("externalAccountRequired", Reaction.CONFIGURATION),
        ("badRevocationReason", Reaction.CONFIGURATION),
        ("invalidProfile", Reaction.CONFIGURATION),
        ("onionCAARequired", Reaction.CONFIGURATION),
        ("userActionRequired", Reaction.HUMAN),
        ("unauthorized", Reaction.HUMAN),
        ("accountDoesNotExist", Reaction.REPAIR),
        ("alreadyRevoked", Reaction.SUCCESS),
        ("alreadyReplaced", Reaction.WITHOUT_REPLACES),
        ("conflict", Reaction.WITHOUT_REPLACES),
        ("unknownDelegation", Reaction.UNSUPPORTED),
        ("badAttestationStatement", Reaction.UNSUPPORTED),
        ("autoRenewalCanceled", Reaction.UNSUPPORTED),
        ("autoRenewalExpired", Reaction.UNSUPPORTED),
        ("autoRenewalCancellationInvalid", Reaction.UNSUPPORTED),
        ("autoRenewalRevocationNotSupported", Reaction.UNSUPPORTED),
    ],
)
def test_the_reaction_to_each_type(kind: str, reaction: Reaction) -> None:
    """Whatever the HTTP status beside it says."""
    for status in (400, 403, 429, 500):
        assert Problem(URN + kind, status=status).reaction is reaction


@pytest.mark.parametrize(
    ("status", "reaction"),
    [
        (0, Reaction.LATER),
        (408, Reaction.LATER),
        (429, Reaction.LATER),
        (500, Reaction.LATER),
        (502, Reaction.LATER),
        (503, Reaction.LATER),
        (599, Reaction.LATER),
        (409, Reaction.WITHOUT_REPLACES),
        (400, Reaction.NEW_ORDER),
        (403, Reaction.NEW_ORDER),
        (404, Reaction.NEW_ORDER),
        (405, Reaction.NEW_ORDER),
    ],
)
@pytest.mark.parametrize("type_", ["about:blank", "", URN + "fromTheFuture", "https://ca.example/error/x"])
def test_without_a_known_type_the_http_class_decides(type_: str, status: int, reaction: Reaction) -> None:
    assert Problem(type_, status=status).reaction is reaction


def test_a_pause_needs_a_person_and_a_rate_limit_needs_time() -> None:
    """Let's Encrypt types both as rateLimited; only its text tells them apart."""
    pause = "Your account is temporarily prevented from requesting certificates for example.org and possibly others. "
    paused = Problem(URN + "rateLimited", pause + "Please visit: https://sfe.example/unpause — paused identifiers", 429)
    limited = Problem(URN + "rateLimited", "too many certificates (5) already issued for this exact set", 429)
    assert (paused.is_pause, paused.reaction) == (True, Reaction.HUMAN)
    assert (limited.is_pause, limited.reaction) == (False, Reaction.LATER)


@pytest.mark.parametrize(
    ("kind", "detail", "concerned"),
    [
        ("alreadyReplaced", "", True),
        ("conflict", "", True),
        ("malformed", "parsing ARI CertID failed: the 'replaces' field is …", True),
        # Pebble's of a certificate under a root that it has no longer.
        ("malformed", "parsing ARI CertID failed: no known issuer matches the provided Authority Key Identifier", True),
        # Pebble 2.10 of a certificate whose serial begins with 00 in DER: one in 256, and it never finds that one.
        ("serverInternal", "could not find an order for the given certificate: could not find order resulting", True),
        ("serverInternal", "could not find an order", False),
        ("unauthorized", "requester account did not request the certificate being replaced by this order", True),
        ("notFound", "certificate to be REPLACED not found", True),
        ("malformed", "Error unmarshaling JSON", False),
        ("unauthorized", "account is deactivated", False),
        ("rejectedIdentifier", "cannot replace the forbidden", False),
        ("rateLimited", "replaces", False),
    ],
)
def test_a_refusal_that_concerns_the_predecessor_is_recognised(kind: str, detail: str, concerned: bool) -> None:
    """Design 5: retried once without `replaces`, and others are what they are."""
    assert Problem(URN + kind, detail, 400).concerns_replaces is concerned


def test_a_409_without_a_type_concerns_the_predecessor() -> None:
    assert Problem(status=409, detail="conflict").concerns_replaces


@given(type_=st.text(), detail=st.text(), status=st.integers(0, 999))
def test_any_document_has_a_reaction_and_a_text(type_: str, detail: str, status: int) -> None:
    problem = Problem(type_, detail, status)
    assert isinstance(problem.reaction, Reaction)
    assert isinstance(problem.concerns_replaces, bool)
    assert str(problem)
    assert detail in str(problem)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(URN + "dns", "NXDOMAIN", 400), "NXDOMAIN (urn:ietf:params:acme:error:dns)"),
        (Problem(status=502), "no detail given (HTTP 502)"),
        (Problem(URN + "badCSR"), "no detail given (urn:ietf:params:acme:error:badCSR)"),
    ],
)
def test_the_cas_detail_is_shown_verbatim(problem: Problem, text: str) -> None:
    assert str(problem) == text
