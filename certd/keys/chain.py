"""Does the chain from the CA fit what was ordered, and which of several chains is meant (RFC 8555 §7.4.2, §9.1).

§9.1: "Each following certificate SHOULD directly certify the one preceding it." An odd chain is reported, never
re-ordered or mended: it is kept aside, told, and downloaded again (invariant 3).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from certd.keys.certificates import UNREADABLE, LeafFacts, fingerprint, is_ca, load_certificate, parse_leaf
from certd.model.acme import Chain, Chains
from certd.model.errors import ChainRejected
from certd.model.findings import Finding
from certd.model.identifiers import Identifier

LONGEST_CHAIN = 10
CLOCK_TOLERANCE = timedelta(minutes=5)


def check_chain(
    chain: Chain, *, public_der: bytes, identifiers: Iterable[Identifier], now: datetime
) -> tuple[Finding, ...]:
    """Everything that speaks against installing *chain*; empty for a good one. Pure, raises nothing.

    *public_der*: the key of the request; *identifiers*: what was ordered. Only the leaf, or a root at the end, is fine.
    A leaf whose notBefore lies up to five minutes ahead is good, later it is `not-yet-valid` and nothing else.
    """
    if not chain.certificates:
        return (Finding("chain-empty", "the CA sent no certificate"),)
    if len(chain.certificates) > LONGEST_CHAIN:
        return (Finding("chain-too-long", f"the chain has {len(chain.certificates)} certificates"),)
    try:
        leaf = parse_leaf(chain.leaf)
        issuers = [load_certificate(der) for der in chain.certificates[1:]]
    except ChainRejected as why:
        return (Finding("not-a-certificate", str(why)),)
    return (
        *_leaf_findings(leaf, public_der, frozenset(identifiers), now),
        *_duplicates(chain.certificates),
        *_link_findings([load_certificate(chain.leaf), *issuers]),
        *_issuer_findings(issuers, now),
    )


def _leaf_findings(
    leaf: LeafFacts, public_der: bytes, wanted: frozenset[Identifier], now: datetime
) -> Iterator[Finding]:
    if leaf.public_der != public_der:
        yield Finding("key-mismatch", "the certificate is for another key than the one in the request")
    if missing := wanted - set(leaf.identifiers):
        yield Finding("names-missing", f"the certificate lacks {_listed(missing)}")
    if extra := [*sorted(i.value for i in set(leaf.identifiers) - wanted), *leaf.strange_names]:
        yield Finding("names-extra", f"the certificate also names {', '.join(map(repr, extra))}, which nobody ordered")
    if leaf.is_ca:
        yield Finding("leaf-is-ca", "the first certificate is a CA's own")
    if leaf.not_after <= now:
        yield Finding("expired", f"the certificate expired at {leaf.not_after:%Y-%m-%d %H:%M:%SZ}")
    if leaf.not_before > now + CLOCK_TOLERANCE:
        yield Finding("not-yet-valid", f"the certificate is not valid before {leaf.not_before:%Y-%m-%d %H:%M:%SZ}")


def _listed(identifiers: Iterable[Identifier]) -> str:
    return ", ".join(sorted(i.value for i in identifiers))


def _duplicates(certificates: Sequence[bytes]) -> Iterator[Finding]:
    if len(set(certificates)) < len(certificates):
        yield Finding("duplicate", "the chain has the same certificate twice")


def _link_findings(certificates: Sequence[x509.Certificate]) -> Iterator[Finding]:
    """One finding for the first place where the next certificate does not certify the one before it."""
    for place, (certificate, following) in enumerate(pairwise(certificates), start=1):
        if _certifies(following, certificate):
            continue
        others = (other for other in certificates if other is not certificate and other is not following)
        if any(_certifies(other, certificate) for other in others):
            yield Finding("order-wrong", f"certificate {place + 1} of the chain is not the issuer of the one before it")
        else:
            yield Finding("unrelated", f"certificate {place + 1} of the chain did not sign the one before it")
        return


def _certifies(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    """By name and by signature (RFC 5280 §6.1.3)."""
    try:
        subject.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _issuer_findings(issuers: Sequence[x509.Certificate], now: datetime) -> Iterator[Finding]:
    for place, issuer in enumerate(issuers, start=2):
        try:
            name, authority = issuer.subject.rfc4514_string(), is_ca(issuer) or _is_old_root(issuer)
            ends, begins = issuer.not_valid_after_utc, issuer.not_valid_before_utc
        except UNREADABLE:
            yield Finding("not-a-certificate", f"certificate {place} of the chain cannot be read")
            continue
        if not authority:
            yield Finding("issuer-not-ca", f"{name!r} in the chain is not a CA's certificate")
        if ends <= now:
            yield Finding("issuer-expired", f"{name!r} in the chain expired at {ends:%Y-%m-%d %H:%M:%SZ}")
        if begins > now + CLOCK_TOLERANCE:
            yield Finding("issuer-not-yet-valid", f"{name!r} in the chain is not valid before {begins:%Y-%m-%d}")


def _is_old_root(certificate: x509.Certificate) -> bool:
    # Version 1 has no extensions, so no basic constraints; private roots of that age still serve.
    return certificate.version is x509.Version.v1 and certificate.issuer == certificate.subject


def preferred_chain(chains: Chains, wanted: str) -> tuple[Chain, bool]:
    """The chain that *wanted* means, and whether there is one; otherwise, and for the empty text, the default.

    *wanted*: the common name of an issuer, or the SHA-256 of a certificate in the chain (hex, colons or not).
    The topmost issuer decides first, as in certbot: a cross-signed chain also passes by the root where another ends.
    """
    if not wanted:
        return chains.default, True
    offered = (chains.default, *chains.alternates)
    for fits in _chain_matches(wanted):
        for chain in offered:
            try:
                if fits(chain):
                    return chain, True
            except (ChainRejected, *UNREADABLE):
                continue  # an alternate that cannot be read was not wanted
    return chains.default, False


def _chain_matches(wanted: str) -> tuple[Callable[[Chain], bool], ...]:
    digest, name = wanted.replace(":", "").lower(), wanted.casefold()
    return (
        lambda chain: any(name in _issuer_common_names(der) for der in chain.certificates[-1:]),
        lambda chain: any(name in _issuer_common_names(der) for der in chain.certificates),
        lambda chain: any(fingerprint(der) == digest for der in chain.certificates),
    )


def _issuer_common_names(der: bytes) -> set[str]:
    issuer = load_certificate(der).issuer
    return {str(a.value).casefold() for a in issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
