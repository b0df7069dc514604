"""What every store must keep to, whatever engine is behind it: the suite sees `open()` and the ledger's own methods."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from certd.ledger.ledger import ClaimLost, Ledger
from certd.ledger.rows import Record
from certd.model.acme import AccountUrl, CertId, ChallengeType, IssuerId, OrderUrl
from certd.model.errors import StorageError
from certd.model.identifiers import CertName
from certd.model.keys import KeyId
from certd.model.proofs import ProofState
from certd.model.records import ORDER_TRANSITIONS, Claim, OrderRecord, OrderState, Scope, ScopeKind
from certd.model.steps import Step, set_trap
from tests.fakes.clock import START, ManualClock
from tests.unit.ledger import samples
from tests.unit.ledger.conftest import SqliteStore
from tests.unit.ledger.samples import (
    ACCOUNT,
    DAY,
    DESIRED,
    DIRECTORY,
    GROUND,
    ISSUED,
    ISSUER,
    NAME,
    PLACED,
    SCOPE,
    failure,
    generation,
    order,
    placed,
    proof,
    renewal,
    waiting,
)

HOUR = timedelta(hours=1)
OTHER = CertName("other.example")


def claimed(ledger: Ledger, name: str = NAME) -> Claim:
    claim = ledger.claim(CertName(name), f"dns:{name}")
    assert claim is not None
    return claim


async def put(ledger: Ledger, *records: Record) -> None:
    await ledger.commit(None, Step.INTENT_STORED, *records)


async def listed(ledger: Ledger) -> list[str]:
    return [document["event"] for _, document in await ledger.events()]


# what is stored

READ: dict[str, tuple[Record, Callable[[Ledger], Awaitable[object]]]] = {
    "key": (samples.key("k", b"\x00\xff"), lambda ledger: ledger.key(KeyId("k"))),
    "account": (replace(ACCOUNT, next_key_id=KeyId("key-1")), lambda ledger: first(ledger.accounts(ISSUER))),
    "directory": (DIRECTORY, lambda ledger: ledger.directory(ISSUER)),
    "desired": (DESIRED, lambda ledger: ledger.desired(NAME)),
    "order": (
        order(
            replaces=CertId("a.b"), key_id=None, profile="shortlived", url="https://ca.test/o", state=OrderState.PLACED
        ),
        lambda ledger: ledger.order("order-1"),
    ),
    "generation": (generation(revoked_at=START, csr_given=True), lambda ledger: ledger.newest_generation(NAME)),
    "renewal": (renewal(next_fetch_at=None), lambda ledger: ledger.renewal(NAME, 1)),
    "scope": (waiting(firm_until=START), lambda ledger: ledger.scope(SCOPE)),
    "failure": (failure(), lambda ledger: first(ledger.failures(SCOPE, START))),
}


async def first(found: Awaitable[Sequence[object]]) -> object:
    (one,) = await found
    return one


@pytest.mark.parametrize("kind", READ)
async def test_what_was_committed_is_there_for_the_next_process(store: SqliteStore, kind: str) -> None:
    record, read = READ[kind]
    async with store.open() as ledger:
        await put(ledger, *GROUND)
        await put(ledger, record)
        assert await read(ledger) == record
    async with store.open() as ledger:
        assert await read(ledger) == record


async def test_nothing_is_found_where_nothing_was_stored(ledger: Ledger) -> None:
    assert await ledger.accounts() == []
    assert await ledger.directory(ISSUER) is None
    assert await ledger.desired(NAME) is None
    assert await ledger.order("order-1") is None
    assert await ledger.order_by_url(OrderUrl("https://ca.test/o")) is None
    assert await ledger.newest_generation(NAME) is None
    assert await ledger.renewal(NAME, 1) is None
    assert await ledger.scope(SCOPE) is None
    assert (await ledger.failures(SCOPE, START), await ledger.stray_proofs(), await ledger.events()) == ([], [], [])
    with pytest.raises(StorageError, match="key key-1 is not in the ledger") as caught:
        await ledger.key(KeyId("key-1"))
    assert "restore" in caught.value.hint


async def test_a_record_is_replaced_by_the_one_with_its_key(ledger: Ledger) -> None:
    await put(ledger, *GROUND, waiting(), DIRECTORY)
    await put(ledger, waiting(failures=3), replace(DIRECTORY, document="{}"))
    found = await ledger.scope(SCOPE)
    assert found is not None
    assert found.failures == 3
    assert (await ledger.directory(ISSUER)) == replace(DIRECTORY, document="{}")


async def test_failures_are_a_log(ledger: Ledger) -> None:
    """Two failures of one name at one moment are two failures."""
    await put(ledger, failure(), failure(), failure(at=START - HOUR), failure(replace(SCOPE, key="other.example")))
    assert await ledger.failures(SCOPE, START) == [failure(), failure()]
    assert await ledger.failures(SCOPE, START - HOUR) == [failure(at=START - HOUR), failure(), failure()]


async def test_how_many_scopes_stand_is_one_question(ledger: Ledger) -> None:
    """A hundred names ask for their waits and failures once, and each failure is found at the scope it belongs to."""
    other, quiet = replace(SCOPE, key="other.example"), replace(SCOPE, key="quiet.example")
    await put(ledger, waiting(), failure(other), failure(), failure(at=START - HOUR), failure(other, at=START - HOUR))
    assert await ledger.standing([quiet, SCOPE, other], START) == ([waiting()], [[], [failure()], [failure(other)]])


async def test_accounts_come_in_the_order_in_which_they_were_made(ledger: Ledger) -> None:
    older = replace(ACCOUNT, id="older", url=AccountUrl("https://ca.test/account/0"), created_at=START - DAY)
    elsewhere = replace(ACCOUNT, id="elsewhere", issuer=IssuerId("https://other.test/directory"))
    await put(ledger, *GROUND, older, elsewhere)
    assert await ledger.accounts(ISSUER) == [older, ACCOUNT]
    assert {account.id for account in await ledger.accounts()} == {"older", "account-1", "elsewhere"}


async def test_one_account_url_belongs_to_one_row(ledger: Ledger) -> None:
    """Invariant 1. Accounts without a URL yet are something else: their newAccount may be under way."""
    await put(ledger, *GROUND)
    with pytest.raises(StorageError, match="refused by the ledger"):
        await put(ledger, replace(ACCOUNT, id="account-2"))
    await put(ledger, replace(ACCOUNT, id="a", url=AccountUrl("")), replace(ACCOUNT, id="b", url=AccountUrl("")))


async def test_nothing_names_a_key_or_an_account_that_is_not_there(ledger: Ledger) -> None:
    """Invariant 2: the key is durable before whatever uses it, or in the same commit."""
    await put(ledger, *GROUND)
    for record in (
        order(key_id=KeyId("missing")),
        order(account_id="missing"),
        generation(key_id=KeyId("missing")),
        replace(ACCOUNT, next_key_id=KeyId("missing")),
        proof(order_id="missing"),
    ):
        with pytest.raises(StorageError, match="refused by the ledger"):
            await put(ledger, record)
    await put(ledger, samples.key("new"), order(key_id=KeyId("new")))


async def test_generations_are_counted_by_name(ledger: Ledger) -> None:
    await put(ledger, *GROUND, generation(1), generation(2), generation(10), generation(3, OTHER))
    assert [g.number for g in await ledger.generations(NAME)] == [10, 2, 1]
    assert await ledger.newest_generation(NAME) == generation(10)
    assert await ledger.names() == [NAME, OTHER]
    assert await ledger.generation_of_order(f"{OTHER}-3") == generation(3, OTHER)
    assert await ledger.generation_by_fingerprint(f"{NAME}/2") == generation(2)


async def test_a_generation_never_changes_but_for_its_revocation(ledger: Ledger) -> None:
    await put(ledger, *GROUND, generation(1))
    await put(ledger, generation(1, revoked_at=START + DAY))
    for other in (generation(1, fingerprint="another"), generation(1, order_id="another")):
        with pytest.raises(StorageError, match="generation 1 is another certificate, and never changes"):
            await put(ledger, other)
    assert await ledger.newest_generation(NAME) == generation(1, revoked_at=START + DAY)


async def test_one_order_makes_one_generation(ledger: Ledger) -> None:
    """Invariant 3: a certificate that is downloaded twice is not two certificates."""
    await put(ledger, *GROUND, generation(1))
    with pytest.raises(StorageError, match="refused by the ledger"):
        await put(ledger, generation(2, order_id=generation(1).order_id))


# one commit, all or nothing


async def test_a_commit_is_all_or_nothing(ledger: Ledger) -> None:
    """An order without its key could never be finished; an event of what did not happen would be told."""
    await put(ledger, *GROUND)
    bad = order("order-2", key_id=KeyId("missing"))
    with pytest.raises(StorageError):
        await ledger.commit(None, Step.INTENT_STORED, order(), proof(), bad, events=[PLACED])
    assert await ledger.order("order-1") is None
    assert await listed(ledger) == []
    assert ledger.live_proofs.http_01("token") is None


async def test_what_cannot_be_encoded_writes_nothing(ledger: Ledger) -> None:
    """A naive moment is a mistake of ours; it must not become one of the ledger's."""
    await put(ledger, *GROUND)
    with pytest.raises(TypeError):
        await put(ledger, order(), order("order-2", OTHER, created_at=START.replace(tzinfo=None)))
    assert await ledger.order("order-1") is None


async def test_events_are_in_the_commit_that_made_them_true_in_order(ledger: Ledger, clock: ManualClock) -> None:
    await ledger.commit(None, Step.ORDER_STORED, *GROUND, events=[PLACED])
    await clock.advance(HOUR)
    await ledger.commit(None, Step.GENERATION_STORED, generation(), events=[ISSUED, PLACED])
    found = await ledger.events()
    assert [document["event"] for _, document in found] == ["OrderPlaced", "CertificateIssued", "OrderPlaced"]
    assert found[0][1]["order_url"] == PLACED.order_url
    assert found[1][1]["not_after"] == ISSUED.not_after.isoformat()
    assert found[1][1]["at"] - found[0][1]["at"] == 3600 * 1_000_000
    ids = [id_ for id_, _ in found]
    assert ids == sorted(set(ids))
    assert await ledger.events(after=ids[0], limit=1) == [found[1]]
    assert await ledger.events(after=ids[-1]) == []


async def test_each_commit_is_a_step_that_can_be_cut_short(ledger: Ledger) -> None:
    """Before it nothing is there, after it everything is (reliability H3)."""
    await put(ledger, *GROUND)

    def trap(edge: str) -> None:
        def fail(which: Step, at: str) -> None:
            if (which, at) == (Step.ORDER_STORED, edge):
                raise OSError(edge)

        set_trap(fail)

    try:
        for edge, row in (("before", order("a", "a.test")), ("after", order("b", "b.test"))):
            trap(edge)
            with pytest.raises(OSError, match=edge):
                await ledger.commit(None, Step.ORDER_STORED, row, events=[PLACED])
    finally:
        set_trap(None)
    assert await ledger.order("a") is None
    assert await ledger.order("b") == order("b", "b.test")
    assert await listed(ledger) == ["OrderPlaced"]


async def test_many_commits_at_once_are_all_kept(ledger: Ledger) -> None:
    await put(ledger, *GROUND)

    async def work(n: int) -> None:
        claim = claimed(ledger, f"{n}.example")
        await ledger.commit(claim, Step.INTENT_STORED, order(f"o{n}", f"{n}.example"), events=[PLACED])
        await ledger.commit(claim, Step.ORDER_STORED, placed(order(f"o{n}", f"{n}.example")), events=[PLACED])
        ledger.release(claim)

    async with asyncio.TaskGroup() as group:
        for n in range(200):
            group.create_task(work(n))
    found = await ledger.open_orders()
    assert {row.id for row in found} == {f"o{n}" for n in range(200)}
    assert {row.state for row in found} == {OrderState.PLACED}
    assert len(await ledger.events()) == 400


# claims


async def test_a_name_and_an_identifier_set_are_worked_on_by_one_task(ledger: Ledger) -> None:
    """Invariant 3: two certificates with one set never share an order, so they are not ordered side by side."""
    mine = ledger.claim(NAME, "dns:a")
    assert mine is not None
    assert ledger.claim(NAME, "dns:b") is None
    assert ledger.claim(OTHER, "dns:a") is None
    assert ledger.claim(OTHER, "dns:b") is not None
    ledger.release(mine)
    assert ledger.claim(NAME, "dns:a") is not None


async def test_giving_a_claim_back_twice_takes_nothing_from_the_next_one(ledger: Ledger) -> None:
    mine = claimed(ledger)
    ledger.release(mine)
    theirs = claimed(ledger)
    ledger.release(mine)
    assert ledger.claim(NAME, "dns:x") is None
    await ledger.commit(theirs, Step.INTENT_STORED, *GROUND)


async def test_a_claim_that_was_given_back_writes_nothing(ledger: Ledger) -> None:
    mine = claimed(ledger)
    ledger.release(mine)
    claimed(ledger)
    with pytest.raises(ClaimLost, match=r"example\.org: .*nothing was written"):
        await ledger.commit(mine, Step.INTENT_STORED, *GROUND, events=[PLACED])
    assert (await ledger.accounts(), await ledger.events()) == ([], [])


async def test_who_opens_the_store_takes_every_earlier_claim(store: SqliteStore) -> None:
    """Fencing: a process that was stopped for ten minutes and goes on must not harm who took over."""
    async with store.open() as first_one:
        old = claimed(first_one)
        await first_one.commit(old, Step.INTENT_STORED, *GROUND, order())
        async with store.open() as second_one:
            new = claimed(second_one)
            assert new.epoch == old.epoch + 1
            await second_one.commit(new, Step.ORDER_STORED, placed(order()))
            late = replace(placed(order()), state=OrderState.DEAD)
            attempts: list[Callable[[], Awaitable[object]]] = [
                lambda: first_one.commit(old, Step.ORDER_STORED, late, events=[PLACED]),
                lambda: first_one.commit(None, Step.FAILURE_STORED, waiting()),
                lambda: first_one.note_reloaded(NAME, 7),
                lambda: first_one.clear_scopes([SCOPE]),
                lambda: first_one.change(Step.PRUNED, lambda _: None),
            ]
            for attempt in attempts:
                with pytest.raises(ClaimLost, match="nothing was written"):
                    await attempt()
            assert await second_one.open_order(NAME) == placed(order())
            assert (await second_one.scope(SCOPE), await second_one.reloaded(NAME)) == (None, None)
            assert await listed(second_one) == []


async def test_nodes_are_fenced_each_for_itself(store: SqliteStore) -> None:
    async with store.open("node-1") as one, store.open("node-2") as two:
        await one.commit(claimed(one), Step.INTENT_STORED, *GROUND)
        await two.commit(claimed(two, OTHER), Step.INTENT_STORED, order())
        assert await one.open_order(NAME) == order()


async def test_a_cancelled_task_gives_its_claim_back_and_its_last_words_are_kept(ledger: Ledger) -> None:
    """SIGTERM right after newOrder was answered: the URL is what finds the order again."""
    await put(ledger, *GROUND, order())

    async def work() -> None:
        claim = claimed(ledger)
        try:
            await ledger.commit(claim, Step.ORDER_STORED, placed(order()), events=[PLACED])
        finally:
            ledger.release(claim)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)  # it waits for the disk now
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ledger.open_order(NAME) == placed(order())
    assert await listed(ledger) == ["OrderPlaced"]


# orders


@pytest.mark.parametrize("after", OrderState)
@pytest.mark.parametrize("before", OrderState)
async def test_an_order_takes_legal_ways_only(ledger: Ledger, before: OrderState, after: OrderState) -> None:
    await put(ledger, *GROUND)
    for state in way_to(before):
        await put(ledger, order(state=state))
    if after is before or after in ORDER_TRANSITIONS[before]:
        await put(ledger, order(state=after))
    else:
        with pytest.raises(StorageError, match=f"cannot go from {before.value} to {after.value}"):
            await put(ledger, order(state=after))
    found = await ledger.order("order-1")
    assert found is not None
    assert found.state is (after if after is before or after in ORDER_TRANSITIONS[before] else before)


def way_to(state: OrderState) -> list[OrderState]:
    ways = {OrderState.INTENT: [OrderState.INTENT]}
    for _ in OrderState:
        for at, way in list(ways.items()):
            for step in ORDER_TRANSITIONS[at]:
                ways.setdefault(step, [*way, step])
    return ways[state]


async def test_an_order_begins_as_an_intent_or_with_its_url(ledger: Ledger) -> None:
    await put(ledger, *GROUND)
    for state in set(OrderState) - {OrderState.INTENT, OrderState.PLACED, OrderState.DEAD}:
        with pytest.raises(StorageError, match="cannot go from intent"):
            await put(ledger, order(state=state))


async def test_one_name_and_one_set_have_one_open_order(ledger: Ledger) -> None:
    await put(ledger, *GROUND, order())
    same_name = order("order-2", set_key="dns:else.example")
    same_set = order("order-3", OTHER, set_key=order().set_key)
    for second in (same_name, same_set):
        with pytest.raises(StorageError, match="refused by the ledger"):
            await put(ledger, second)
    await put(ledger, replace(same_set, issuer=IssuerId("https://other.test/directory")))
    await put(ledger, order(state=OrderState.DEAD))
    await put(ledger, same_name)
    assert await ledger.open_order(NAME) == same_name
    assert await ledger.open_order_for_set(ISSUER, "dns:else.example") == same_name
    assert await ledger.open_order_for_set(ISSUER, order().set_key) is None


async def test_an_order_url_stands_once_in_the_journal(ledger: Ledger) -> None:
    """Boulder hands the same pending order to whoever asks for its identifiers; it is nobody's second order."""
    await put(ledger, *GROUND, order(), order("order-2", OTHER))
    await put(ledger, placed(order()))
    with pytest.raises(StorageError, match="refused by the ledger"):
        await put(ledger, replace(placed(order("order-2", OTHER)), url=placed(order()).url))
    await put(ledger, replace(placed(order()), state=OrderState.DEAD))
    with pytest.raises(StorageError, match="refused by the ledger"):
        await put(ledger, replace(placed(order("order-2", OTHER)), url=placed(order()).url))
    found = await ledger.order_by_url(OrderUrl("https://ca.test/order/order-1"))
    assert found is not None
    assert found.id == "order-1"


async def test_an_order_keeps_its_url(ledger: Ledger) -> None:
    await put(ledger, *GROUND, placed(order()))
    for url in (None, OrderUrl("https://ca.test/another")):
        with pytest.raises(StorageError, match="cannot become"):
            await put(ledger, replace(placed(order()), url=url))


async def test_open_orders_come_oldest_first(ledger: Ledger) -> None:
    rows = [order(f"o{n}", f"{n}.example", created_at=START - n * HOUR) for n in range(3)]
    await put(ledger, *GROUND, *rows, order("gone", state=OrderState.DEAD))
    assert await ledger.open_orders() == rows[::-1]


# proofs


async def test_proofs_are_open_until_they_are_withdrawn_and_stray_once_their_order_has_ended(ledger: Ledger) -> None:
    """Invariant 5: what another process published is found again by these rows alone."""
    elsewhere = proof("order-2", "proof-2", "token-2")
    txt = replace(proof(id_="proof-3"), proof=replace(proof().proof, type=ChallengeType.DNS_01, zone="example.org"))
    await put(ledger, *GROUND, order(), order("order-2", OTHER), proof(), elsewhere, txt)
    assert sorted(row.id for row in await ledger.proofs("order-1")) == ["proof-1", "proof-3"]
    assert await ledger.stray_proofs() == []
    await put(ledger, replace(proof(), state=ProofState.WITHDRAWN), order(state=OrderState.DEAD))
    assert await ledger.proofs("order-1") == await ledger.stray_proofs() == [txt]
    fenced = replace(txt, state=ProofState.WITHDRAWING)
    await put(ledger, fenced)
    assert await ledger.stray_proofs() == [fenced]
    await put(ledger, replace(txt, state=ProofState.WITHDRAWN))
    assert await ledger.stray_proofs() == []
    assert await ledger.proofs("order-2") == [elsewhere]


async def test_listeners_see_a_proof_once_it_is_committed_and_after_a_restart(store: SqliteStore) -> None:
    async with store.open() as ledger:
        await put(ledger, *GROUND, order(), proof(), proof(id_="gone", name="gone", state=ProofState.WITHDRAWN))
        assert ledger.live_proofs.http_01("token") == proof().proof
    async with store.open() as ledger:
        assert ledger.live_proofs.http_01("token") == proof().proof
        assert ledger.live_proofs.http_01("gone") is None


# scopes, and the rest


async def test_a_success_clears_waits_and_leaves_what_counts_against_limits(ledger: Ledger) -> None:
    other = Scope(ScopeKind.ISSUER, ISSUER, ISSUER)
    same_key_elsewhere = replace(SCOPE, issuer=IssuerId("https://other.test/directory"))
    await put(ledger, waiting(), waiting(other), waiting(same_key_elsewhere), failure())
    await ledger.clear_scopes([SCOPE])
    await ledger.clear_scopes([])
    assert await ledger.scope(SCOPE) is None
    assert await ledger.scope(other) == waiting(other)
    assert await ledger.scope(same_key_elsewhere) == waiting(same_key_elsewhere)
    assert await ledger.failures(SCOPE, START) == [failure()]


async def test_the_generation_after_which_a_server_was_reloaded_is_kept(store: SqliteStore) -> None:
    async with store.open() as ledger:
        assert await ledger.reloaded(NAME) is None
        await ledger.note_reloaded(NAME, 6)
        await ledger.note_reloaded(NAME, 7)
    async with store.open() as ledger:
        assert (await ledger.reloaded(NAME), await ledger.reloaded(OTHER)) == (7, None)


async def test_after_its_end_the_ledger_says_so_instead_of_waiting(store: SqliteStore) -> None:
    async with store.open() as ledger:
        pass
    attempts: list[Callable[[], Awaitable[object]]] = [lambda: ledger.meta("x"), lambda: put(ledger, *GROUND)]
    for attempt in attempts:
        with pytest.raises(StorageError, match="closed"):
            await attempt()


async def test_what_is_queued_is_finished_at_the_end(store: SqliteStore) -> None:
    async with store.open() as ledger:
        await put(ledger, *GROUND)
        rows: list[OrderRecord] = [order(f"o{n}", f"{n}.example") for n in range(50)]
        tasks = [asyncio.create_task(put(ledger, row)) for row in rows]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    async with store.open() as ledger:
        assert len(await ledger.open_orders()) == 50
