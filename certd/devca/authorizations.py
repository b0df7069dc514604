"""Authorizations and their challenges (RFC 8555 §7.1.4, §7.5): made, reused, answered, deactivated."""

from collections.abc import Iterable
from dataclasses import replace

from certd.devca import base64url
from certd.devca.authority import Authority, Post, Reply, link, timestamp
from certd.devca.problems import refused
from certd.devca.records import (
    DNS_01,
    HTTP_01,
    TLS_ALPN_01,
    Account,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Identifier,
)

HALF = 0.5
CHAFF = "x-riddle-99"  # a challenge type nobody has heard of


def authorizations_for(ca: Authority, owner: Account, identifiers: Iterable[Identifier]) -> list[Authorization]:
    """One for each identifier: a valid one reused, by chance, or a new one, which is not stored yet."""
    found = []
    for each in identifiers:
        valid = ca.store.valid_authorization(owner.id, each, ca.now())
        reused = valid is not None and ca.rng.random() < ca.options.authorization_reuse
        found.append(valid if valid is not None and reused else _new(ca, owner, each))
    return found


def authorization(ca: Authority, post: Post) -> Reply:
    """§7.5 shown, §7.5.2 deactivated."""
    found = ca.store.authorizations.get(post.id)
    if found is None:
        raise refused("malformed", "there is no such authorization", status=404)
    _check_owner(found, post)
    if not post.is_get:
        if post.document().get("status") != "deactivated":
            raise refused("malformed", 'an authorization takes {"status": "deactivated"} and nothing else')
        if found.at(ca.now()) not in (AuthorizationStatus.PENDING, AuthorizationStatus.VALID):
            raise refused("malformed", f"the authorization is {found.at(ca.now()).value}")
        found = replace(found, status=AuthorizationStatus.DEACTIVATED)
        ca.store.put(found)
    status = found.at(ca.now())
    document: dict[str, object] = {
        "status": status.value,
        "expires": timestamp(found.expires),
        "identifier": {"type": found.identifier.type, "value": found.identifier.base},
        "challenges": [_challenge(ca, post, each) for each in ca.shuffled(_listed(found, status))],
    }
    if found.identifier.wildcard:
        document["wildcard"] = True
    headers = []
    if status is AuthorizationStatus.PENDING and ca.options.retry_after is not None:
        headers.append(("Retry-After", str(ca.options.retry_after)))
    return Reply(document | ca.chaff(), headers=tuple(headers))


def challenge(ca: Authority, post: Post) -> Reply:
    """§7.5.1: looked at, or answered with `{}`, which starts the validation."""
    found = ca.store.authorization_of(post.id)
    if found is None:
        raise refused("malformed", "there is no such challenge", status=404)
    _check_owner(found, post)
    asked = next(each for each in found.challenges if each.id == post.id)
    if not post.is_get:
        if post.document():
            raise refused("malformed", "a challenge is answered with {} (RFC 8555 §8)")
        asked = _answered(ca, found, asked)
    headers = [link(ca.url(post.base, "authorization", found.id), "up")]
    if asked.status is ChallengeStatus.PROCESSING and ca.options.retry_after is not None:
        headers.append(("Retry-After", str(ca.options.retry_after)))
    return Reply(_challenge(ca, post, asked), headers=tuple(headers))


def _answered(ca: Authority, found: Authorization, asked: Challenge) -> Challenge:
    if asked.type == CHAFF:
        raise refused("malformed", f"{asked.type}: no client understands this type, so none answers it")
    if asked.status in (ChallengeStatus.PROCESSING, ChallengeStatus.VALID):
        return asked  # said twice: the request was repeated
    status = found.at(ca.now())
    if asked.status is not ChallengeStatus.PENDING or status is not AuthorizationStatus.PENDING:
        raise refused("malformed", f"the challenge is {asked.status.value}, its authorization {status.value}")
    if any(each.status is ChallengeStatus.PROCESSING for each in found.challenges):
        raise refused("malformed", "another challenge of this authorization is being validated")
    asked = replace(asked, status=ChallengeStatus.PROCESSING)
    ca.store.put(with_challenge(found, asked))
    ca.validate(asked.id)
    return asked


def with_challenge(found: Authorization, changed: Challenge) -> Authorization:
    return replace(found, challenges=tuple(changed if each.id == changed.id else each for each in found.challenges))


def _new(ca: Authority, owner: Account, identifier: Identifier) -> Authorization:
    types = [HTTP_01, DNS_01, TLS_ALPN_01]
    if identifier.wildcard:
        types = [DNS_01]
    elif identifier.type == "ip":
        types = [HTTP_01, TLS_ALPN_01]  # RFC 8738 §7: dns-01 "MUST NOT be used"
    if ca.options.chaff:
        types.append(CHAFF)
    token = base64url.encode(ca.rng.randbytes(32))
    return Authorization(
        id=ca.new_id(),
        account=owner.id,
        identifier=identifier,
        status=AuthorizationStatus.PENDING,
        expires=ca.now() + ca.options.pending_lifetime,
        challenges=tuple(Challenge(ca.new_id(), each, token) for each in types),
    )


def _listed(found: Authorization, status: AuthorizationStatus) -> list[Challenge]:
    """§7.1.4: once valid, those that were validated; once invalid, the one that was tried."""
    match status:
        case AuthorizationStatus.VALID:
            return [each for each in found.challenges if each.status is ChallengeStatus.VALID]
        case AuthorizationStatus.INVALID:
            return [each for each in found.challenges if each.status is ChallengeStatus.INVALID]
        case _:
            return list(found.challenges)


def _challenge(ca: Authority, post: Post, found: Challenge) -> dict[str, object]:
    document: dict[str, object] = {
        "type": found.type,
        "url": ca.url(post.base, "challenge", found.id),
        "status": found.status.value,
        "token": found.token,
    }
    if found.type == CHAFF and ca.rng.random() < HALF:
        del document["token"]  # not every type has one (dns-persist-01)
    if found.validated is not None:
        document["validated"] = timestamp(found.validated)
    if found.error is not None:
        document["error"] = found.error
    return document | ca.chaff()


def _check_owner(found: Authorization, post: Post) -> None:
    if found.account != post.owner().id:
        raise refused("unauthorized", "this is another account's authorization")
