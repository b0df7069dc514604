"""The directory (RFC 8555 §7.1.1): where everything else is. Never a hard-coded path.

Its snapshot is JSON text for the ledger, so that a new process need not ask again within a day.
"""

import json
from datetime import datetime, timedelta
from typing import Any

from certd.ca.document import Document, parse_json
from certd.ca.origin import Origin
from certd.ca.text import LONGEST_WORD, clean
from certd.model.acme import Directory, IssuerId
from certd.model.errors import CaProtocolError

#: How long a directory is taken as it is. When a URL of an older one is gone, it is asked for again at once.
FRESH_FOR = timedelta(days=1)

_MOST_IDENTITIES = 32
_MOST_PROFILES = 100


def read_directory(body: bytes, url: str) -> Directory:
    """The document at *url*. Raises CaProtocolError: not JSON, a URL elsewhere, newAccount or newOrder missing."""
    origin = Origin.of_directory(url)
    document = Document.parse(body, f"{origin}: directory", origin)
    meta = document.document("meta") or Document({}, f"{origin}: directory.meta", origin)
    return Directory(
        url=IssuerId(url),
        new_nonce=document.required_url("newNonce"),
        new_account=document.required_url("newAccount"),
        new_order=document.required_url("newOrder"),
        revoke_cert=document.url("revokeCert"),
        key_change=document.url("keyChange"),
        new_authz=document.url("newAuthz"),
        renewal_info=document.url("renewalInfo"),
        # Shown to people and never fetched, so these may be anywhere.
        terms_of_service=meta.words("termsOfService", 1024),
        website=meta.words("website", 1024),
        caa_identities=meta.texts("caaIdentities", _MOST_IDENTITIES),
        external_account_required=meta.flag("externalAccountRequired") or False,
        profiles=meta.mapping("profiles", _MOST_PROFILES),
    )


def directory_to_json(directory: Directory) -> str:
    """A snapshot that `directory_from_json` reads: the document as the CA could have sent it, and its own URL."""
    meta: dict[str, Any] = {
        "termsOfService": directory.terms_of_service,
        "website": directory.website,
        "caaIdentities": list(directory.caa_identities),
        "externalAccountRequired": directory.external_account_required,
    }
    if directory.profiles is not None:
        meta["profiles"] = dict(directory.profiles)
    document = {
        "url": directory.url,
        "newNonce": directory.new_nonce,
        "newAccount": directory.new_account,
        "newOrder": directory.new_order,
        "revokeCert": directory.revoke_cert,
        "keyChange": directory.key_change,
        "newAuthz": directory.new_authz,
        "renewalInfo": directory.renewal_info,
        "meta": meta,
    }
    return json.dumps(document)


def directory_from_json(text: str) -> Directory:
    """Raises CaProtocolError for what is no snapshot."""
    found = parse_json(text.encode(), "the stored directory")
    url = found.get("url") if isinstance(found, dict) else None
    if not isinstance(url, str):
        raise CaProtocolError("the stored directory has no URL of its own")
    return read_directory(text.encode(), url)


def is_fresh(fetched_at: datetime, now: datetime) -> bool:
    """Young enough to be used, and not from the future (a clock that went back)."""
    return timedelta(0) <= now - fetched_at < FRESH_FOR


def offered_profiles(directory: Directory) -> str:
    """For messages."""
    names = sorted(clean(name, LONGEST_WORD) for name in directory.profiles or ())
    return ", ".join(names) or "none"
