"""`certd account show|register|update|rollover|deactivate`: parses, calls `certd.app.account`, prints."""

import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certd.app.request import AccountOptions
from certd.cli import options
from certd.cli.commands import Group
from certd.cli.terminal import print_json, say

if TYPE_CHECKING:
    from certd.app.account import AccountRequest, AccountResult

FOR_GOOD = "its certificates stay valid, but no order and no revocation can be signed with it any more"

key_type = click.option(
    "--key-type",
    default="ec256",
    metavar="TYPE",
    help="Of the new key: ec256, ec384, rsa2048, rsa3072 or rsa4096.  [default: ec256]",
)


@click.group("account", cls=Group)
def command() -> None:
    """Show, register, update, roll over or deactivate the account at a CA."""


@command.command("show")
@options.state_dir
@options.wait
@options.as_json
def show(state_dir: Path, wait: float, as_json: bool) -> None:
    """Show the accounts in the state directory; asks no CA."""
    from certd.app.account import show

    accounts = _run(show(state_dir, wait))
    _print_all(accounts, as_json=as_json)
    if not accounts and not as_json:
        say(f"there are no accounts in {state_dir}; certd issue registers one when it needs it")


@command.command("register")
@options.server
@options.ca_bundle
@options.email
@options.agree_tos
@options.external_account
@options.account
@key_type
@options.state_dir
@options.wait
@options.as_json
def register(
    email: tuple[str, ...],
    agree_tos: bool,
    eab_kid: str,
    eab_hmac_key: str,
    eab_algorithm: str,
    account: str,
    key_type: str,
    as_json: bool,
    **place: Any,
) -> None:
    """Register an account, or show the one there is.

    certd issue does this by itself.
    """
    from certd.app.account import register

    chosen = AccountOptions(email, agree_tos, eab_kid, eab_hmac_key, eab_algorithm, account, key_type)
    _print_all([_run(register(_request(chosen, **place)))], as_json=as_json)


@command.command("update")
@options.server
@options.ca_bundle
@options.email
@click.option("--no-email", is_flag=True, help="Remove all contacts.")
@options.account
@options.state_dir
@options.wait
@options.as_json
def update(email: tuple[str, ...], no_email: bool, account: str, as_json: bool, **place: Any) -> None:
    """Replace the account's contacts."""
    from certd.app.account import update

    if bool(email) == no_email:
        raise click.UsageError("give the new contacts with -m, or --no-email to remove them all")
    _print_all([_run(update(_request(AccountOptions(email, account=account), **place)))], as_json=as_json)


@command.command("rollover")
@options.server
@options.ca_bundle
@options.account
@key_type
@options.state_dir
@options.wait
@options.as_json
def rollover(account: str, key_type: str, as_json: bool, **place: Any) -> None:
    """Replace the account's key by a new one.

    RFC 8555, section 7.3.5. A rollover that was cut short is finished.
    """
    from certd.app.account import roll_over

    chosen = AccountOptions(account=account, key_type=key_type)
    _print_all([_run(roll_over(_request(chosen, **place)))], as_json=as_json)


@command.command("deactivate")
@options.server
@options.ca_bundle
@options.account
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.state_dir
@options.wait
@options.as_json
def deactivate(account: str, yes: bool, as_json: bool, **place: Any) -> None:
    """End the account for good.

    Its certificates stay valid, but no order and no revocation can be signed with it any more.
    """
    from certd.app.account import deactivate

    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"deactivating ends the account for good: {FOR_GOOD}; add --yes")
        click.confirm(f"end the account at {place['server']} for good? {FOR_GOOD}", abort=True, err=True)
    _print_all([_run(deactivate(_request(AccountOptions(account=account), **place)))], as_json=as_json)


def _request(
    chosen: AccountOptions, *, server: str, ca_bundle: Path | None, state_dir: Path, wait: float
) -> "AccountRequest":
    from certd.app.account import AccountRequest

    return AccountRequest(server, state_dir, ca_bundle, chosen, wait)


def _run(work: "Coroutine[Any, Any, Any]") -> Any:
    from certd.cli.signals import run_until_signalled

    return run_until_signalled(work)


def _print_all(accounts: "Sequence[AccountResult]", *, as_json: bool) -> None:
    if as_json:
        print_json({"accounts": [_fields(account) for account in accounts]})
        return
    for account in accounts:
        contact = ", ".join(each.removeprefix("mailto:") for each in account.contact) or "no contact"
        since = f"since {account.created_at:%Y-%m-%d}"
        say(f"{account.issuer}   {account.status}   {account.key_type.label}   {contact}   {since}")
        say(f"    {account.url or 'not yet known to the CA: the next use registers it'}")
        if account.rollover_pending:
            say("    a change of its key was cut short: certd account rollover finishes it")


def _fields(account: "AccountResult") -> dict[str, object]:
    """Stable keys (docs/json.md)."""
    return {
        "issuer": account.issuer,
        "url": account.url or None,
        "status": account.status,
        "contact": list(account.contact),
        "key_type": account.key_type.value,
        "created_at": account.created_at.isoformat(),
        "rollover_pending": account.rollover_pending,
    }
