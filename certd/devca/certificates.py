"""Certificates downloaded (RFC 8555 §7.4.2) and revoked (§7.6)."""

from dataclasses import replace
from typing import Any

from cryptography import x509

from certd.devca import base64url
from certd.devca.authority import Authority, Post, Reply, link
from certd.devca.jwk import thumbprint_of
from certd.devca.problems import refused
from certd.devca.records import Account, Certificate

PEM_CHAIN = "application/pem-certificate-chain"
#: RFC 5280 §5.3.1 reasons that a subscriber may give: unspecified, keyCompromise, superseded, cessationOfOperation.
REASONS = (0, 1, 4, 5)


def certificate(ca: Authority, post: Post) -> Reply:
    """The chain, and links to the same leaf under other roots."""
    post.require_get()
    found = ca.store.certificates.get(post.id)
    chains = ca.issuer.chains(found.leaf) if found is not None else []
    number = post.part or "0"
    if found is None or number not in map(str, range(len(chains))):
        raise refused("malformed", "there is no such certificate", status=404)
    if found.account != post.owner().id:
        raise refused("unauthorized", "this is another account's certificate")
    others = [each for each in range(len(chains)) if str(each) != number]
    links = [ca.url(post.base, "certificate", found.id, *([str(each)] if each else [])) for each in others]
    headers = tuple(link(each, "alternate") for each in links)
    return Reply(chains[int(number)], headers=headers, content_type=PEM_CHAIN)


def revoke_cert(ca: Authority, post: Post) -> Reply:
    """§7.6: by the account that has it, by one authorized for all its identifiers, or by the certificate's own key."""
    wanted = post.document()
    found = _wanted(ca, wanted.get("certificate"))
    reason = wanted.get("reason")
    if reason is not None and (isinstance(reason, bool) or reason not in REASONS):
        allowed = ", ".join(map(str, REASONS))
        raise refused("badRevocationReason", f"reason: one of {allowed}, not {reason!r}")
    key = x509.load_der_x509_certificate(found.leaf).public_key()
    if post.account is not None:
        if post.account.id != found.account and not _authorized(ca, post.account, found):
            raise refused("unauthorized", "this account neither has the certificate nor authority over all its names")
    elif thumbprint_of(key) != post.jwk.thumbprint:
        raise refused("unauthorized", "the key that signed is not the certificate's")
    if found.revoked_at is not None:
        raise refused("alreadyRevoked", "that certificate is revoked")
    ca.store.put(replace(found, revoked_at=ca.now(), revocation_reason=reason or 0))
    return Reply(None)


def _wanted(ca: Authority, text: Any) -> Certificate:
    if not isinstance(text, str):
        raise refused("malformed", "certificate: base64url of its DER")
    try:
        der = base64url.decode(text)
    except ValueError as error:
        raise refused("malformed", f"certificate: {error}") from None
    found = ca.store.certificate_of(der)
    if found is None:
        raise refused("malformed", "this CA issued no such certificate", status=404)
    return found


def _authorized(ca: Authority, account: Account, found: Certificate) -> bool:
    """§7.6: "an account that holds authorizations for all of the identifiers in the certificate"."""
    held = (ca.store.valid_authorization(account.id, each, ca.now()) for each in found.identifiers)
    return all(each is not None for each in held)
