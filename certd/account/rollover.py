"""Changing the account key (RFC 8555 §7.3.5): both keys are kept until it is proven which one the CA knows (R29)."""

from dataclasses import replace

from certd.account.ports import Tools
from certd.model.acme import Account
from certd.model.errors import CaError, CaRefused
from certd.model.events import AccountChanged
from certd.model.keys import KeyId, KeyType
from certd.model.problems import Reaction
from certd.model.records import AccountRecord
from certd.model.steps import Step, step


async def roll_over(tools: Tools, row: AccountRecord, key_type: KeyType) -> AccountRecord:
    """Replace the account's key by a new one. A rollover that a crash cut short is finished, and enough if it fits."""
    if row.next_key_id is not None:
        row = await finish_rollover(tools, row)
        if (await tools.ledger.key(row.key_id)).type is key_type:
            return row
    new_key = await tools.keys.generate(key_type)
    row = replace(row, next_key_id=new_key.id)
    await tools.ledger.commit(None, Step.ROLLOVER_KEY_STORED, new_key, row)
    return await _send(tools, row)


async def finish_rollover(tools: Tools, row: AccountRecord) -> AccountRecord:
    """Find out which key the CA knows after an interrupted rollover, and go on from there. Raises CaError."""
    if row.next_key_id is None:
        return row
    if await _is_known(tools, row, row.next_key_id):
        return await _settle(tools, row, row.next_key_id)
    return await _send(tools, row)


async def _send(tools: Tools, row: AccountRecord) -> AccountRecord:
    if row.next_key_id is None:
        raise AssertionError("a rollover has its next key stored before it is sent")
    old_key = await tools.keys.open(await tools.ledger.key(row.key_id))
    new_key = await tools.keys.open(await tools.ledger.key(row.next_key_id))
    async with tools.converse(old_key, row.url) as ca:
        try:
            with step(Step.ROLLOVER_SENT):
                await ca.rollover(new_key)
        except CaRefused:
            if await _stands(tools, row):
                await tools.ledger.commit(None, Step.ROLLOVER_STORED, replace(row, next_key_id=None))
            raise
    return await _settle(tools, row, row.next_key_id)


async def _stands(tools: Tools, row: AccountRecord) -> bool:
    """Whether the CA still knows the old key, proven by asking, so that the new one may be forgotten.

    That it refused says too little: a front end's 504 comes after the change was made, and so does the refusal of a
    signature by a key that the change has made the old one.
    """
    try:
        return await _is_known(tools, row, row.key_id)
    except CaError:
        return False


async def _is_known(tools: Tools, row: AccountRecord, key_id: KeyId) -> bool:
    found = await find_by_key(tools, key_id)
    return found is not None and found.url == row.url


async def find_by_key(tools: Tools, key_id: KeyId) -> Account | None:
    """The account that the CA has for this key (RFC 8555 §7.3.1). Raises CaError."""
    key = await tools.keys.open(await tools.ledger.key(key_id))
    async with tools.converse(key, None) as ca:
        try:
            return await ca.find_account()
        except CaRefused as refusal:
            if refusal.problem.reaction is Reaction.REPAIR:
                return None
            raise


async def _settle(tools: Tools, row: AccountRecord, key_id: KeyId) -> AccountRecord:
    done = replace(row, key_id=key_id, next_key_id=None)
    await tools.ledger.commit(None, Step.ROLLOVER_STORED, done, events=[AccountChanged(row.issuer, row.url, "key")])
    return done
