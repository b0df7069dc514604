"""Accounts (RFC 8555 §7.1.2, §7.3): made, found, changed, deactivated; terms, contacts, binding, order list."""

import re
from dataclasses import replace
from typing import Any

from certd.devca.authority import Authority, Post, Reply, link
from certd.devca.jwk import read_jwk
from certd.devca.jws import MAC_ALGORITHMS, mac_verifies, read_json, read_jws, read_object, verify
from certd.devca.problems import Refused, problem, refused
from certd.devca.records import Account, AccountStatus, AuthorizationStatus, OrderStatus
from certd.devca.settling import settle

ADDRESS = re.compile(r"[^@\s,;<>\"\\]+@[a-z0-9.-]+\.[a-z0-9-]+", re.IGNORECASE)
MOST_CONTACTS = 10


def new_account(ca: Authority, post: Post) -> Reply:
    """§7.3: made, or found by its key."""
    wanted = post.document()
    found = ca.store.account_with(post.jwk.thumbprint)
    if found is not None:
        require_valid(found)
        return _shown(ca, post, found, status=200)
    if wanted.get("onlyReturnExisting") is True:
        raise refused("accountDoesNotExist", "no account has this key")
    if wanted.get("termsOfServiceAgreed") is not True:
        terms = ca.options.terms_url or ca.url(post.base, "terms")
        found_problem = problem(
            "userActionRequired", f"the terms have to be agreed to: {terms}", extra={"instance": terms}
        )
        raise Refused(found_problem, dict([link(terms, "terms-of-service")]))
    account = Account(
        id=ca.new_id(),
        status=AccountStatus.VALID,
        contact=_contacts(wanted.get("contact", [])),
        jwk=post.jwk.canonical,
        thumbprint=post.jwk.thumbprint,
        terms_agreed=True,
        binding=_binding(ca, post, wanted.get("externalAccountBinding")),
        created_at=ca.now(),
    )
    ca.store.put(account)
    return _shown(ca, post, account, status=201)


def account(ca: Authority, post: Post) -> Reply:
    """§7.3.2 and §7.3.6: shown, its contacts changed, deactivated."""
    owner = post.owner()
    if post.id != owner.id:
        raise refused("unauthorized", "this is another account")
    if post.is_get:
        return _shown(ca, post, owner)
    wanted = post.document()
    if "contact" in wanted:
        owner = replace(owner, contact=_contacts(wanted["contact"]))
    match wanted.get("status", "valid"):
        case "valid":
            ca.store.put(owner)
        case "deactivated":
            owner = replace(owner, status=AccountStatus.DEACTIVATED)
            pending = [
                each for each in ca.store.authorizations_of(owner.id) if each.status is AuthorizationStatus.PENDING
            ]
            # "The server SHOULD cancel any pending operations authorized by the account's key" (§7.3.6).
            ca.store.put(owner, *(replace(each, status=AuthorizationStatus.DEACTIVATED) for each in pending))
        case other:
            raise refused("malformed", f"status: an account can be deactivated, not {other!r}")
    return _shown(ca, post, owner)


def orders(ca: Authority, post: Post) -> Reply:
    """§7.1.2.1: the account's orders that are not invalid, page by page."""
    owner = post.owner()
    post.require_get()
    if post.id != owner.id:
        raise refused("unauthorized", "this is another account's list")
    found = [settle(ca, each) for each in list(ca.store.orders_of(owner.id))]
    urls = [ca.url(post.base, "order", each.id) for each in found if each.status is not OrderStatus.INVALID]
    size = ca.options.orders_per_page
    cursor = post.query.get("cursor", "0")
    if not re.fullmatch(r"[0-9]{1,9}", cursor):
        raise refused("malformed", "cursor: no such page", status=404)
    start = int(cursor)
    headers = []
    if len(urls) > start + size:
        headers.append(link(f"{ca.url(post.base, 'orders', owner.id)}?cursor={start + size}", "next"))
    return Reply({"orders": urls[start : start + size]} | ca.chaff(), headers=tuple(headers))


def key_change(ca: Authority, post: Post) -> Reply:
    """§7.3.5: the outer JWS by the old key, the inner one by the new key."""
    owner = post.owner()
    inner = read_jws(post.payload, "the inner JWS")
    if "jwk" not in inner.header or "kid" in inner.header:
        raise refused("malformed", "the inner JWS: jwk, and no kid (RFC 8555 §7.3.5)")
    new = read_jwk(inner.header["jwk"])
    verify(inner, new)
    if inner.header.get("url") != post.url:
        raise refused("malformed", "the inner JWS: its url is not the outer one's")
    if "nonce" in inner.header:
        raise refused("malformed", "the inner JWS: it MUST omit the nonce (RFC 8555 §7.3.5)")
    wanted = read_object(inner.payload, "the inner payload")
    if wanted.get("account") != ca.url(post.base, "account", owner.id):
        raise refused("malformed", "the inner payload: account is not the URL of the account that signed")
    if read_jwk(wanted.get("oldKey")).thumbprint != owner.thumbprint:
        raise refused("malformed", "the inner payload: oldKey is not the account's key")
    if new.thumbprint == owner.thumbprint:
        raise refused("malformed", "the new key is the old one")
    other = ca.store.account_with(new.thumbprint)
    if other is not None:
        location = ca.url(post.base, "account", other.id)
        raise refused("malformed", "another account has that key", status=409, headers={"Location": location})
    owner = replace(owner, jwk=new.canonical, thumbprint=new.thumbprint)
    ca.store.put(owner)
    return _shown(ca, post, owner)


def require_valid(found: Account) -> None:
    """§7.3.6: "it MUST return an error response with status code 401 (Unauthorized)"."""
    if found.status is not AccountStatus.VALID:
        raise refused("unauthorized", f"the account is {found.status.value}", status=401)


def _shown(ca: Authority, post: Post, found: Account, status: int = 200) -> Reply:
    document: dict[str, Any] = {
        "status": found.status.value,
        "contact": list(found.contact),
        "termsOfServiceAgreed": found.terms_agreed,
        "orders": ca.url(post.base, "orders", found.id),
    }
    if found.binding is not None:
        document["externalAccountBinding"] = found.binding
    headers = (("Location", ca.url(post.base, "account", found.id)),)
    return Reply(document | ca.chaff(), status, headers)


def _contacts(given: Any) -> tuple[str, ...]:
    """§7.3: mailto without hfields and with one address; other schemes are not supported here."""
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise refused("malformed", "contact: a list of URLs")
    if len(given) > MOST_CONTACTS:
        raise refused("invalidContact", f"contact: {MOST_CONTACTS} at most")
    for each in given:
        scheme, colon, rest = each.partition(":")
        if not colon:
            raise refused("invalidContact", f"contact: {each!r} is no URL")
        if scheme.lower() != "mailto":
            raise refused("unsupportedContact", f"contact: {scheme} is not supported, mailto is")
        if "?" in rest:
            raise refused("invalidContact", "contact: mailto without hfields (RFC 8555 §7.3)")
        if not ADDRESS.fullmatch(rest):
            raise refused("invalidContact", f"contact: {rest!r} is not one mail address")
    return tuple(given)


def _binding(ca: Authority, post: Post, given: Any) -> dict[str, Any] | None:
    """§7.3.4: the account's key, signed with a MAC key that was handed out elsewhere."""
    if given is None:
        if ca.options.eab_keys:
            raise refused("externalAccountRequired", "newAccount needs an externalAccountBinding here")
        return None
    if not isinstance(given, dict):
        raise refused("malformed", "externalAccountBinding: not a JWS")
    inner = read_jws(given, "externalAccountBinding")
    if inner.algorithm not in MAC_ALGORITHMS:
        raise refused(
            "badSignatureAlgorithm",
            f"externalAccountBinding: alg is {', '.join(MAC_ALGORITHMS)}, not {inner.algorithm}",
            extra={"algorithms": list(MAC_ALGORITHMS)},
        )
    if "nonce" in inner.header:
        raise refused("malformed", "externalAccountBinding: no nonce (RFC 8555 §7.3.4)")
    if inner.header.get("url") != post.url:
        raise refused("malformed", "externalAccountBinding: its url is not the outer one's")
    kid = inner.header.get("kid")
    if not isinstance(kid, str):
        raise refused("malformed", "externalAccountBinding: no kid")
    if kid not in ca.options.eab_keys or not mac_verifies(inner, ca.options.eab_keys[kid]):
        raise refused("unauthorized", "externalAccountBinding: unknown kid, or its MAC does not verify")
    if read_jwk(read_json(inner.payload, "externalAccountBinding: the payload")).thumbprint != post.jwk.thumbprint:
        raise refused("badPublicKey", "externalAccountBinding: the payload is not the key that signed the request")
    return {name: given[name] for name in ("protected", "payload", "signature")}
