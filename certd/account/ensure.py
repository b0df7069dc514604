"""One account key per issuer, durable before newAccount; never a second account by accident (invariant 1)."""

from dataclasses import replace

from certd.account.ports import AccountWish, Tools
from certd.account.rollover import find_by_key, finish_rollover
from certd.model.acme import Account, AccountStatus, AccountUrl, Directory
from certd.model.errors import CaRefused, ConfigError, PolicyRefused
from certd.model.events import AccountChanged, AccountRegistered
from certd.model.keys import KeyRecord
from certd.model.problems import Reaction
from certd.model.records import AccountRecord
from certd.model.steps import Step, step

ENDED = frozenset({AccountStatus.DEACTIVATED, AccountStatus.REVOKED})


async def ensure_account(tools: Tools, wish: AccountWish) -> AccountRecord:
    """The account to order with, registered now if the ledger has none for this issuer.

    Raises ConfigError (terms not agreed, EAB missing), PolicyRefused (pinned or deactivated account), CaError.
    """
    row = await find_row(tools, wish)
    if row is None:
        return await register_new(tools, wish)
    _check_status(row)
    row = await _with_one_key(tools, row)
    if row.url:
        return row
    # newAccount may have been received, and an account that exists is asked neither for terms nor for a binding again.
    return await _find_or_register(tools, wish, row)


async def register_new(tools: Tools, wish: AccountWish) -> AccountRecord:
    """A new account with a new key, whatever the ledger has."""
    return await _register(tools, wish, None, await tools.keys.generate(wish.key_type))


async def find_row(tools: Tools, wish: AccountWish) -> AccountRecord | None:
    """The ledger's account for *wish*: the pinned one, else the newest that is usable, else the newest."""
    rows = await tools.ledger.accounts(wish.issuer)
    if wish.pinned is not None:
        pinned = next((row for row in rows if row.url == wish.pinned), None)
        if pinned is None:
            raise PolicyRefused(
                f"{wish.pinned}: this account is pinned, and its key is not in this state directory",
                hint="restore the state directory that holds its key from a backup; without it no order can be signed, "
                "and certd does not register another account in its place",
            )
        return pinned
    candidates = [row for row in rows if row.status is AccountStatus.VALID] or rows
    return candidates[-1] if candidates else None


async def register_again(tools: Tools, wish: AccountWish, row: AccountRecord) -> AccountRecord:
    """The CA says that *row*'s account does not exist: look it up by its key, then register once (R26).

    Raises PolicyRefused for a pinned account, and for one that has ended.
    """
    if wish.pinned is not None:
        raise PolicyRefused(
            f"{wish.pinned}: the CA does not know this account any more, and it is pinned",
            hint="take the pin away to register a new account; CAA records that name this account must change then",
        )
    return await _find_or_register(tools, wish, row)


async def _with_one_key(tools: Tools, row: AccountRecord) -> AccountRecord:
    """*row* after a rollover that a crash cut short; as it is when the CA knows neither key, which is for repair."""
    try:
        return await finish_rollover(tools, row)
    except CaRefused as refusal:
        if refusal.problem.reaction is not Reaction.REPAIR:
            raise
        return row


async def _find_or_register(tools: Tools, wish: AccountWish, row: AccountRecord) -> AccountRecord:
    for key_id in (row.next_key_id, row.key_id):
        found = None if key_id is None else await find_by_key(tools, key_id)
        if key_id is not None and found is not None:
            return await _store(tools, replace(row, key_id=key_id, next_key_id=None), found)
    row = replace(row, url=AccountUrl(""), next_key_id=None)
    return await _register(tools, wish, row, await tools.ledger.key(row.key_id))


async def _register(tools: Tools, wish: AccountWish, row: AccountRecord | None, key: KeyRecord) -> AccountRecord:
    async with tools.converse(await tools.keys.open(key), None) as ca:
        check_terms(await ca.directory(), wish)
        row = row or _new_row(tools, wish, key)
        await tools.ledger.commit(None, Step.ACCOUNT_KEY_STORED, key, row)
        # A lost reply costs nothing: the same key finds the same account again (RFC 8555 §7.3).
        with step(Step.ACCOUNT_SENT):
            made = await ca.register(contact=wish.contact, terms_agreed=wish.terms_agreed, external=wish.external)
        return await _store(tools, row, made)


async def _store(tools: Tools, row: AccountRecord, found: Account) -> AccountRecord:
    """Raises PolicyRefused, once that is stored, for an account that has ended (R30)."""
    # A status that the RFC does not have decides nothing: what the account may do, the next request says.
    status = found.status if found.status in ENDED else AccountStatus.VALID
    stored = replace(row, url=found.url, status=status, contact=found.contact or row.contact)
    ended = AccountChanged(row.issuer, found.url, status.value) if status in ENDED else None
    event = ended or AccountRegistered(row.issuer, found.url)
    await tools.ledger.commit(None, Step.ACCOUNT_STORED, stored, events=[event])
    _check_status(stored)
    return stored


def _check_status(row: AccountRecord) -> None:
    if row.status is not AccountStatus.VALID:
        raise PolicyRefused(
            f"{row.url}: this account is {row.status.value}",
            hint="certd account register makes another one; CAA records that name this account must change then",
        )


def _new_row(tools: Tools, wish: AccountWish, key: KeyRecord) -> AccountRecord:
    return AccountRecord(
        id=tools.new_id(),
        issuer=wish.issuer,
        key_id=key.id,
        url=AccountUrl(""),
        status=AccountStatus.VALID,
        contact=wish.contact,
        created_at=tools.clock.now(),
    )


def check_terms(directory: Directory, wish: AccountWish) -> None:
    """What the CA wants of a new account, asked before anything is made (R25, R28)."""
    if directory.terms_of_service and not wish.terms_agreed:
        raise ConfigError(
            f"{directory.url}: this CA wants its terms of service agreed to: {directory.terms_of_service}",
            hint="read them, and add --agree-tos",
        )
    if directory.external_account_required and wish.external is None:
        site = f" (from {directory.website})" if directory.website else ""
        raise ConfigError(
            f"{directory.url}: this CA wants an external account binding, and none is given",
            hint=f"get a key id and an HMAC key from the CA{site}, and add --eab-kid KID --eab-hmac-key file:PATH",
        )
