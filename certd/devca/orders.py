"""Orders (RFC 8555 §7.1.3, §7.4): made or reused, looked at, finalized.

What an order's status is follows from its authorizations and the time: `certd.devca.settling`.
"""

from dataclasses import replace
from datetime import timedelta

from certd.devca import base64url
from certd.devca.authority import Authority, Post, Reply, timestamp
from certd.devca.authorizations import authorizations_for
from certd.devca.csr import LARGEST, read_csr
from certd.devca.identifiers import read_identifiers
from certd.devca.jwk import thumbprint_of
from certd.devca.problems import refused
from certd.devca.records import Account, Identifier, Order, OrderStatus
from certd.devca.replacement import check_replacement
from certd.devca.settling import OPEN, settle


def new_order(ca: Authority, post: Post) -> Reply:
    owner, wanted = post.owner(), post.document()
    identifiers = read_identifiers(wanted.get("identifiers"))
    if "notBefore" in wanted or "notAfter" in wanted:
        raise refused(
            "malformed", "notBefore and notAfter are not taken: the profile says how long a certificate lives"
        )
    profile = wanted.get("profile", ca.options.default_profile)
    if not isinstance(profile, str) or profile not in ca.options.profiles:
        raise refused("invalidProfile", f"there is no profile {profile!r}: {', '.join(ca.options.profiles)}")
    replaces = wanted.get("replaces")
    if replaces is not None:
        check_replacement(ca, owner, identifiers, replaces)
    order = _reusable(ca, owner, identifiers, profile, "profile" in wanted, replaces)
    if order is None:
        now = ca.now()
        authorizations = authorizations_for(ca, owner, identifiers)
        order = Order(
            id=ca.new_id(),
            account=owner.id,
            status=OrderStatus.PENDING,
            expires=min([now + ca.options.order_lifetime, *(each.expires for each in authorizations)]),
            identifiers=identifiers,
            authorizations=tuple(each.id for each in authorizations),
            profile=profile,
            profile_asked="profile" in wanted,
            replaces=replaces,
            created_at=now,
        )
        ca.store.put(*authorizations, order)
        order = settle(ca, order)
    return _shown(ca, post, order, status=201)


def order(ca: Authority, post: Post) -> Reply:
    post.require_get()
    return _shown(ca, post, _owned(ca, post), polled=True)


def finalize(ca: Authority, post: Post) -> Reply:
    """§7.4: from `ready` only; a request that is refused leaves the order as it was."""
    found = _owned(ca, post)
    if found.status is not OrderStatus.READY:
        raise refused("orderNotReady", f"the order is {found.status.value}, not ready")
    text = post.document().get("csr")
    if not isinstance(text, str) or len(text) > LARGEST:
        raise refused("malformed", "csr: base64url of a DER request")
    try:
        der = base64url.decode(text)
    except ValueError as error:
        raise refused("malformed", f"csr: {error}") from None
    key, spki = read_csr(der, found.identifiers)
    # RFC 8555 §11.1: an account key "MUST NOT" be a certificate's.
    thumbprint = thumbprint_of(key)
    if thumbprint is not None and ca.store.account_with(thumbprint) is not None:
        raise refused("badCSR", "its key is an account's key")
    if ca.store.compromised(spki):
        raise refused("badCSR", "its key was revoked as compromised")
    if found.profile not in ca.options.profiles:
        raise refused("invalidProfile", f"the profile {found.profile!r} is gone")
    slow = ca.options.processing if ca.rng.random() < ca.options.processing_share else timedelta(0)
    found = replace(found, status=OrderStatus.PROCESSING, public_key=spki, issue_at=ca.now() + slow)
    ca.store.put(found)
    return _shown(ca, post, settle(ca, found))


def _reusable(
    ca: Authority, owner: Account, identifiers: tuple[Identifier, ...], profile: str, asked: bool, replaces: str | None
) -> Order | None:
    """The open order of the same account, identifiers and profile, whatever key it will be finalized with."""
    if not ca.options.reuse_orders:
        return None
    for each in ca.store.open_orders(owner.id, identifiers, profile):
        if each.profile_asked == asked and (replaces is None or each.replaces == replaces):
            found = settle(ca, each)
            if found.status in OPEN:
                return found
    return None


def _owned(ca: Authority, post: Post) -> Order:
    found = ca.store.orders.get(post.id)
    if found is None:
        raise refused("malformed", "there is no such order", status=404)
    if found.account != post.owner().id:
        raise refused("unauthorized", "this is another account's order")
    return settle(ca, found)


def _shown(ca: Authority, post: Post, found: Order, status: int = 200, *, polled: bool = False) -> Reply:
    document: dict[str, object] = {
        "status": found.status.value,
        "expires": timestamp(found.expires),
        "identifiers": [each.document() for each in ca.shuffled(found.identifiers)],
        "authorizations": [ca.url(post.base, "authorization", each) for each in ca.shuffled(found.authorizations)],
        "finalize": ca.url(post.base, "finalize", found.id),
    }
    if found.profile_asked:
        document["profile"] = found.profile
    # Boulder forgets it on later looks (boulder #8272); a client cannot depend on it.
    if found.replaces is not None and not (polled and ca.options.chaff and ca.rng.random() < 0.5):
        document["replaces"] = found.replaces
    if found.certificate is not None:
        document["certificate"] = ca.url(post.base, "certificate", found.certificate)
    if found.error is not None:
        document["error"] = found.error
    headers = [("Location", ca.url(post.base, "order", found.id))]
    if found.status is OrderStatus.PROCESSING and found.issue_at is not None:
        headers.append(ca.retry_after(found.issue_at - ca.now()))
    return Reply(document | ca.chaff(), status, tuple(headers))
