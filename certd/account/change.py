"""Contact and end of an account (RFC 8555 §7.3.2, §7.3.6)."""

from collections.abc import Sequence
from dataclasses import replace

from certd.account.ports import Tools
from certd.model.acme import AccountStatus
from certd.model.events import AccountChanged
from certd.model.records import AccountRecord
from certd.model.steps import Step, step


async def change_contact(tools: Tools, row: AccountRecord, contact: Sequence[str]) -> AccountRecord:
    """Tell the CA the new contact URLs; an empty sequence removes them all."""
    async with tools.converse(await tools.keys.open(await tools.ledger.key(row.key_id)), row.url) as ca:
        with step(Step.ACCOUNT_CHANGE_SENT):
            await ca.update_account(contact)
    return await _store(tools, replace(row, contact=tuple(contact)), "contact")


async def deactivate(tools: Tools, row: AccountRecord) -> AccountRecord:
    """End the account for good; its certificates stay valid, and it is never registered again in silence (R30)."""
    async with tools.converse(await tools.keys.open(await tools.ledger.key(row.key_id)), row.url) as ca:
        with step(Step.ACCOUNT_CHANGE_SENT):
            await ca.deactivate_account()
    return await _store(tools, replace(row, status=AccountStatus.DEACTIVATED), "deactivated")


async def _store(tools: Tools, row: AccountRecord, change: str) -> AccountRecord:
    event = AccountChanged(row.issuer, row.url, change)
    await tools.ledger.commit(None, Step.ACCOUNT_CHANGED, row, events=[event])
    return row
