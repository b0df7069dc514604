"""Contact and end of an account (RFC 8555 §7.3.2, §7.3.6)."""

from collections.abc import Sequence
from dataclasses import replace

from certd.account.ports import Conversation, Tools
from certd.account.rollover import finish_rollover
from certd.model.acme import AccountStatus
from certd.model.errors import CaRefused
from certd.model.events import AccountChanged
from certd.model.records import AccountRecord
from certd.model.steps import Step, step


async def change_contact(tools: Tools, row: AccountRecord, contact: Sequence[str]) -> AccountRecord:
    """Tell the CA the new contact URLs; an empty sequence removes them all. Safe to repeat."""
    row = await finish_rollover(tools, row)
    async with tools.converse(await tools.keys.open(await tools.ledger.key(row.key_id)), row.url) as ca:
        with step(Step.ACCOUNT_CHANGE_SENT):
            await ca.update_account(contact)
    return await _store(tools, replace(row, contact=tuple(contact)), "contact")


async def deactivate(tools: Tools, row: AccountRecord) -> AccountRecord:
    """End the account for good; its certificates stay valid, and it is never registered again in silence (R30).

    Safe to repeat.
    """
    if row.status is AccountStatus.DEACTIVATED:
        return row
    row = await finish_rollover(tools, row)
    async with tools.converse(await tools.keys.open(await tools.ledger.key(row.key_id)), row.url) as ca:
        try:
            with step(Step.ACCOUNT_CHANGE_SENT):
                await ca.deactivate_account()
        except CaRefused as refusal:
            if not await _has_ended(ca, refusal):
                raise
    return await _store(tools, replace(row, status=AccountStatus.DEACTIVATED), "deactivated")


async def _has_ended(ca: Conversation, refusal: CaRefused) -> bool:
    """Whether it was done before, by a request whose reply nobody saw.

    RFC 8555 §7.3.6: what a deactivated account asks for is refused as unauthorized; so is looking it up by its key, or
    it is found with that status.
    """
    if refusal.problem.kind != "unauthorized":
        return False
    try:
        found = await ca.find_account()
    except CaRefused as again:
        return again.problem.kind == "unauthorized"
    return found.status is AccountStatus.DEACTIVATED


async def _store(tools: Tools, row: AccountRecord, change: str) -> AccountRecord:
    event = AccountChanged(row.issuer, row.url, change)
    await tools.ledger.commit(None, Step.ACCOUNT_CHANGED, row, events=[event])
    return row
