"""`certd account …`: each command as request → result."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from certd.account import change, ensure, rollover
from certd.account.ports import AccountWish, ExternalAccount
from certd.account.ports import Tools as AccountTools
from certd.app.dev import reachable
from certd.app.house import House, open_house
from certd.app.issuers import Issuer, parse_server, title_of
from certd.app.place import Place
from certd.app.request import AccountOptions
from certd.app.wish import parse_key_type
from certd.model.acme import AccountStatus, AccountUrl
from certd.model.errors import ConfigError
from certd.model.keys import ACCOUNT_KEY_TYPES, KeyType
from certd.model.mistakes import Checks
from certd.model.records import AccountRecord
from certd.secrets.references import canonical_reference

Act = Callable[[AccountTools, AccountRecord], Awaitable[AccountRecord]]


@dataclass(frozen=True, slots=True)
class AccountRequest:
    server: str
    state_dir: Path
    ca_bundle: Path | None = None
    options: AccountOptions = field(default_factory=AccountOptions)
    wait: float = 60.0


@dataclass(frozen=True, slots=True)
class AccountResult:
    """An account as people see it. `url` empty: the CA has not answered for it yet."""

    issuer: str
    url: str
    status: str
    contact: tuple[str, ...]
    key_type: KeyType
    created_at: datetime
    rollover_pending: bool

    @classmethod
    async def of(cls, house: House, row: AccountRecord) -> "AccountResult":
        key = await house.ledger.key(row.key_id)
        return cls(
            issuer=title_of(row.issuer),
            url=row.url,
            status=row.status.value,
            contact=row.contact,
            key_type=key.type,
            created_at=row.created_at,
            rollover_pending=row.next_key_id is not None,
        )


def check_account(options: AccountOptions) -> None:
    """Find every mistake that needs no network and no secret. Raises ConfigError."""
    checks = Checks()
    checks.of(_key_type, options.key_type)
    checks.of(contact_urls, options.email)
    checks.of(_check_binding, options)
    checks.verdict()


def account_wish(house: House, issuer: Issuer, options: AccountOptions) -> AccountWish:
    """Options as a wish, the EAB key resolved. Raises ConfigError."""
    check_account(options)
    return AccountWish(
        issuer=issuer.id,
        contact=contact_urls(options.email),
        terms_agreed=options.agree_tos or issuer.is_dev,  # the embedded CA's terms are our own
        external=_binding(house, options) if options.eab_kid else None,
        pinned=AccountUrl(options.account) if options.account else None,
        key_type=_key_type(options.key_type),
    )


def _key_type(text: str) -> KeyType:
    key_type = parse_key_type(text)
    if key_type not in ACCOUNT_KEY_TYPES:
        raise ConfigError(f"{key_type.label}: CAs do not take account keys of this type", hint="use ec256")
    return key_type


def _check_binding(options: AccountOptions) -> None:
    if bool(options.eab_kid) != bool(options.eab_hmac_key):
        missing = "--eab-hmac-key" if options.eab_kid else "--eab-kid"
        raise ConfigError("--eab-kid and --eab-hmac-key belong together", hint=f"add {missing}")
    if options.eab_kid:
        with _about_the_key():
            canonical_reference(options.eab_hmac_key)


def _binding(house: House, options: AccountOptions) -> ExternalAccount:
    with _about_the_key():
        return ExternalAccount(options.eab_kid, house.secret(options.eab_hmac_key), options.eab_algorithm)


@contextmanager
def _about_the_key() -> Iterator[None]:
    try:
        yield
    except ConfigError as mistake:
        raise ConfigError(f"--eab-hmac-key: {mistake}", hint=mistake.hint) from mistake


def contact_urls(emails: tuple[str, ...]) -> tuple[str, ...]:
    """`mailto:` URLs; RFC 8555 §7.3 allows one address each and no header fields. Raises ConfigError."""
    for email in emails:
        address = email.removeprefix("mailto:")
        local, at, domain = address.partition("@")
        if not at or not local or "." not in domain or any(c in address for c in " ,?&<>\r\n"):
            raise ConfigError(f"{email!r} is not one e-mail address")
    return tuple(f"mailto:{email.removeprefix('mailto:')}" for email in emails)


async def show(state_dir: Path, wait: float = 60.0) -> list[AccountResult]:
    """Every account in the ledger; contacts no CA, and makes no state directory."""
    if not Place(state_dir).has_ledger():
        return []
    async with open_house(state_dir, wait=wait) as house:
        return [await AccountResult.of(house, row) for row in await house.ledger.accounts()]


async def register(request: AccountRequest) -> AccountResult:
    """The issuer's account: the one there is, or a new one; a deactivated one is not used again."""
    issuer = parse_server(request.server, request.ca_bundle)
    check_account(request.options)
    async with _at(request, issuer) as (house, there):
        wish = account_wish(house, issuer, request.options)
        tools = house.account_tools(there)
        row = await ensure.find_row(tools, wish)
        if row is not None and row.status is not AccountStatus.VALID and wish.pinned is None:
            return await AccountResult.of(house, await ensure.register_new(tools, wish))
        return await AccountResult.of(house, await ensure.ensure_account(tools, wish))


async def update(request: AccountRequest) -> AccountResult:
    """Change the contact to the given addresses, none removes them."""
    contact = contact_urls(request.options.email)
    return await _on_account(request, lambda tools, row: change.change_contact(tools, row, contact))


async def roll_over(request: AccountRequest) -> AccountResult:
    key_type = parse_key_type(request.options.key_type)
    return await _on_account(request, lambda tools, row: rollover.roll_over(tools, row, key_type))


async def deactivate(request: AccountRequest) -> AccountResult:
    return await _on_account(request, change.deactivate)


@asynccontextmanager
async def _at(request: AccountRequest, issuer: Issuer) -> AsyncIterator[tuple[House, Issuer]]:
    async with (
        open_house(request.state_dir, wait=request.wait) as house,
        reachable(issuer, house.place) as there,
    ):
        yield house, there


async def _on_account(request: AccountRequest, act: Act) -> AccountResult:
    issuer = parse_server(request.server, request.ca_bundle)
    check_account(request.options)
    missing = ConfigError(
        f"{issuer.title}: there is no account in {request.state_dir}",
        hint="certd account show lists those there are; certd account register makes one",
    )
    if not Place(request.state_dir).has_ledger():
        raise missing
    async with _at(request, issuer) as (house, there):
        tools = house.account_tools(there)
        row = await ensure.find_row(tools, account_wish(house, issuer, request.options))
        if row is None or not row.url:
            raise missing
        return await AccountResult.of(house, await act(tools, row))
