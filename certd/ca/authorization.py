"""Authorizations (RFC 8555 §7.1.4, §7.5): read so that `*.example.org` is again what was ordered (R20)."""

from dataclasses import replace
from datetime import datetime

from certd.ca.account import DEACTIVATED
from certd.ca.challenge import MOST_CHALLENGES, read_challenges
from certd.ca.document import Document
from certd.ca.lifecycle import status_of
from certd.ca.order import identifier_object
from certd.ca.problems import read_identifier_leniently
from certd.ca.wire import payload_of
from certd.model.acme import Authorization, AuthorizationStatus
from certd.model.identifiers import Identifier

__all__ = ["DEACTIVATED", "new_authorization", "read_authorization"]


def new_authorization(identifier: Identifier) -> bytes:
    """The payload of newAuthz (§7.4.1)."""
    return payload_of({"identifier": identifier_object(identifier)})


def read_authorization(document: Document, url: str, retry_after: datetime | None) -> Authorization:
    """§7.1.4. Raises CaProtocolError when there is no identifier."""
    found = (document.child(item, f"challenges[{place}]") for place, item in enumerate(document.items("challenges")))
    challenges, offered = read_challenges(c for c in list(found)[:MOST_CHALLENGES] if c is not None)
    return Authorization(
        url=url,
        identifier=_identifier(document),
        status=status_of(AuthorizationStatus, document.text("status"), AuthorizationStatus.UNKNOWN),
        challenges=challenges,
        offered=offered,
        expires=document.moment("expires"),
        retry_after=retry_after,
    )


def _identifier(document: Document) -> Identifier:
    identifier = read_identifier_leniently(document.value("identifier"))
    if identifier is None:
        document.refuse("identifier", "is missing")
    # §7.1.4: for a wildcard the identifier has no "*." and `wildcard` is true. Some old servers left it in.
    if document.flag("wildcard") and not identifier.is_wildcard:
        return replace(identifier, value=f"*.{identifier.value}")
    return identifier
