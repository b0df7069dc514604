"""One account key per issuer, durable before newAccount; never a second account by accident (invariant 1)."""

from dataclasses import replace

from certd.account.ports import AccountWish, Conversation, Tools
from certd.account.rollover import finish_rollover
from certd.model.acme import AccountStatus, AccountUrl, Directory
from certd.model.errors import CaRefused, ConfigError, PolicyRefused
from certd.model.events import AccountRegistered
from certd.model.keys import KeyRecord
from certd.model.records import AccountRecord
from certd.model.steps import Step, step


async def ensure_account(tools: Tools, wish: AccountWish) -> AccountRecord:
    """The account to order with, registered now if the ledger has none for this issuer.

    Raises ConfigError (terms not agreed, EAB missing), PolicyRefused (pinned or deactivated account), CaError.
    """
    row = await find_row(tools, wish)
    if row is None:
        return await register_new(tools, wish)
    if row.status is not AccountStatus.VALID:
        raise PolicyRefused(
            f"{row.url}: this account is {row.status.value}",
            hint="certd account register makes another one; CAA records that name this account must change then",
        )
    if row.next_key_id is not None:
        return await finish_rollover(tools, row)
    if row.url:
        return row
    return await _register(tools, wish, row, await tools.ledger.key(row.key_id))


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

    Raises PolicyRefused for a pinned account.
    """
    if wish.pinned is not None:
        raise PolicyRefused(
            f"{wish.pinned}: the CA does not know this account any more, and it is pinned",
            hint="take the pin away to register a new account; CAA records that name this account must change then",
        )
    key = await tools.ledger.key(row.key_id)
    async with tools.converse(await tools.keys.open(key), None) as ca:
        try:
            found = await ca.find_account()
        except CaRefused as refusal:
            if refusal.problem.kind != "accountDoesNotExist":
                raise
        else:
            return await _store(tools, row, found.url, found.contact or row.contact)
    return await _register(tools, wish, replace(row, url=AccountUrl("")), key)


async def _register(tools: Tools, wish: AccountWish, row: AccountRecord | None, key: KeyRecord) -> AccountRecord:
    async with tools.converse(await tools.keys.open(key), None) as ca:
        check_terms(await ca.directory(), wish)
        row = row or _new_row(tools, wish, key)
        await tools.ledger.commit(None, Step.ACCOUNT_KEY_STORED, key, row)
        account_url, contact = await _new_account(ca, wish)
        return await _store(tools, row, account_url, contact)


async def _new_account(ca: Conversation, wish: AccountWish) -> tuple[AccountUrl, tuple[str, ...]]:
    # A lost reply costs nothing: the same key finds the same account again (RFC 8555 §7.3).
    with step(Step.ACCOUNT_SENT):
        account = await ca.register(contact=wish.contact, terms_agreed=wish.terms_agreed, external=wish.external)
    if account.status is not AccountStatus.VALID:
        raise PolicyRefused(f"{account.url}: the CA says that this account is {account.status.value}")
    return account.url, account.contact or wish.contact


async def _store(tools: Tools, row: AccountRecord, url: AccountUrl, contact: tuple[str, ...]) -> AccountRecord:
    stored = replace(row, url=url, status=AccountStatus.VALID, contact=contact)
    await tools.ledger.commit(None, Step.ACCOUNT_STORED, stored, events=[AccountRegistered(row.issuer, url)])
    return stored


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
