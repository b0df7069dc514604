"""Accounts (RFC 8555 §7.1.2, §7.3): what is sent to make, change, end and re-key one, and how one is read."""

from collections.abc import Sequence
from typing import Any

from certd.ca.document import Document
from certd.ca.lifecycle import status_of
from certd.ca.wire import ExternalBinding, Signer, external_account_binding, payload_of
from certd.model.acme import Account, AccountStatus, AccountUrl

_MOST_CONTACTS = 32

DEACTIVATED = payload_of({"status": "deactivated"})
ONLY_EXISTING = payload_of({"onlyReturnExisting": True})


def new_account(
    signer: Signer, url: str, contact: Sequence[str], *, terms_agreed: bool, external: ExternalBinding | None
) -> bytes:
    """The payload of newAccount (§7.3). The terms are agreed to only when a person did (R25)."""
    fields: dict[str, Any] = {}
    if terms_agreed:
        fields["termsOfServiceAgreed"] = True
    if contact:
        fields["contact"] = list(contact)
    if external is not None:
        fields["externalAccountBinding"] = external_account_binding(external, signer, url)
    return payload_of(fields)


def contact_update(contact: Sequence[str]) -> bytes:
    """The payload for the account's URL (§7.3.2); an empty list removes what was there."""
    return payload_of({"contact": list(contact)})


async def key_change(account_url: str, old: Signer, new: Signer, url: str) -> bytes:
    """The payload of keyChange (§7.3.5): a JWS by the new key, with `jwk`, the same `url` and no nonce."""
    inner = payload_of({"account": account_url, "oldKey": old.jwk})
    return await new.sign(new.by_key, inner, url=url, nonce=None)


def read_account(document: Document, url: AccountUrl) -> Account:
    """§7.1.2."""
    return Account(
        url=url,
        status=status_of(AccountStatus, document.text("status"), AccountStatus.UNKNOWN),
        contact=document.texts("contact", _MOST_CONTACTS),
        terms_agreed=document.flag("termsOfServiceAgreed"),
        orders_url=document.url("orders"),
    )
