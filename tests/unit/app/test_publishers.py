"""Listeners and webroots as the workflow uses them: the contract, and what is particular to each."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from certd.app.publishers import BELIEVED_FOR, LATE_LOOKS, ListenerPublisher, PublisherTable, WebrootPublisher
from certd.issue.ports import Publisher
from certd.ledger.ledger import Ledger, open_ledger
from certd.listen.listeners import Listeners, open_listeners
from certd.model.acme import ChallengeType
from certd.model.clock import SystemClock
from certd.model.errors import ConfigError, ListenError
from certd.model.identifiers import parse_identifier
from certd.model.proofs import Proof, ProofState
from certd.model.steps import Step
from tests.fakes.clock import ManualClock
from tests.publisher_contract import THUMBPRINT, PublisherContract, Subject, token
from tests.unit.ledger.samples import GROUND, order
from tests.unit.listen.fakes import LOOPBACK, converse, request
from tests.unit.listen.validator import validate

CHALLENGES = Path(".well-known/acme-challenge")
CLOCK = SystemClock()
HTTP, TLS = ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_ledger(tmp_path / "ledger.sqlite", clock=CLOCK, node="node") as opened:
        await opened.commit(None, Step.INTENT_STORED, *GROUND, order())
        yield opened


@pytest.fixture
async def listeners(ledger: Ledger) -> AsyncIterator[Listeners]:
    async with open_listeners(ledger.live_proofs, CLOCK, http=[LOOPBACK], tls=[LOOPBACK]) as opened:
        yield opened


async def asked_over_http(listeners: Listeners, proof: Proof) -> bool:
    reply = await converse(listeners.http[0], request(f"/{CHALLENGES}/{proof.name}"))
    return reply.endswith(b"\r\n\r\n" + proof.value.encode())


async def asked_over_tls(listeners: Listeners, proof: Proof) -> bool:
    try:
        await validate(listeners.tls[0], proof)
    except OSError:  # an alert
        return False
    return True


async def nothing() -> object:
    return ()


def listening(ledger: Ledger, listeners: Listeners, type_: ChallengeType = HTTP) -> Subject:
    ask = asked_over_http if type_ is HTTP else asked_over_tls
    return Subject(
        publisher=ListenerPublisher(type_, ledger.live_proofs, CLOCK, listeners),
        type=type_,
        ledger=ledger,
        order_id=order().id,
        reopen=lambda _, options: ListenerPublisher.reopened(options, ledger.live_proofs, CLOCK),
        shows=lambda proof: ask(listeners, proof),
        others=nothing,
        spoil=None,
        sees_the_ca=True,
        checks=type_ is HTTP,
    )


class TestHttpListener(PublisherContract):
    @pytest.fixture
    def subject(self, ledger: Ledger, listeners: Listeners) -> Subject:
        return listening(ledger, listeners)


class TestTlsListener(PublisherContract):
    @pytest.fixture
    def subject(self, ledger: Ledger, listeners: Listeners) -> Subject:
        return listening(ledger, listeners, TLS)


class TestWebroot(PublisherContract):
    @pytest.fixture
    def subject(self, ledger: Ledger, tmp_path: Path) -> Subject:
        site = tmp_path / "site über uns"
        foreign = {"somebody-elses-token": "somebody else's", "index.html": "hello"}
        (site / CHALLENGES).mkdir(parents=True)
        for name, words in foreign.items():
            (site / CHALLENGES / name).write_text(words)

        async def shows(proof: Proof) -> bool:
            file = site / CHALLENGES / proof.name
            return file.is_file() and file.read_text() == proof.value

        async def others() -> object:
            found = {name: (site / CHALLENGES / name).stat() for name in foreign}
            return {name: (stat.st_ino, stat.st_mode, stat.st_mtime_ns) for name, stat in found.items()}

        async def spoil() -> None:
            (site / ".well-known").rename(site / "moved")
            (site / ".well-known").symlink_to(site / "moved")

        return Subject(
            publisher=WebrootPublisher(site),
            type=HTTP,
            ledger=ledger,
            order_id=order().id,
            reopen=lambda _, options: WebrootPublisher.reopened(options),
            shows=shows,
            others=others,
            spoil=spoil,
            sees_the_ca=False,
            checks=True,
        )

    async def test_its_answers_stay_as_long_as_late_looks_come(self, subject: Subject) -> None:
        """No process of ours is needed for them to be shown, and so none need wait for that minute."""
        assert subject.publisher.lingers == LATE_LOOKS == timedelta(minutes=1)


def proof(type_: ChallengeType, number: int = 0) -> Proof:
    identifier = parse_identifier("a.test")
    words = f"{token(number)}.{THUMBPRINT}"
    return Proof(type_, identifier, token(number) if type_ is HTTP else "a.test", words)


async def test_listeners_of_both_ports_are_told_apart(ledger: Ledger, listeners: Listeners) -> None:
    """Proofs are grouped by these words: http-01's own question must not go out with a proof of the other type."""
    both: dict[ChallengeType, Publisher] = {
        type_: ListenerPublisher(type_, ledger.live_proofs, CLOCK, listeners) for type_ in (TLS, HTTP)
    }
    table = PublisherTable(both, reopen=_never)
    for type_, publisher in both.items():
        found = table.by_method(publisher.method, publisher.options)
        assert found is publisher is table.by_type(type_)
    assert list(table.allowed) == [TLS, HTTP]


def _never(method: str, options: str) -> Publisher:
    raise ConfigError(f"{method} {options}")


def test_what_this_run_does_not_have_is_opened_again(tmp_path: Path) -> None:
    """Another webroot than the one that the journal names, and a method of another version."""
    ours, other = WebrootPublisher(tmp_path / "ours"), WebrootPublisher(tmp_path / "other")
    table = PublisherTable({HTTP: ours}, lambda _, options: WebrootPublisher.reopened(options))
    assert table.by_method(ours.method, ours.options) is ours
    assert table.by_method(other.method, other.options) == other
    with pytest.raises(ConfigError):
        PublisherTable({}, _never).by_method("carrier-pigeon", "{}")


async def test_our_own_listener_is_asked_once_and_then_believed(ledger: Ledger, listeners: Listeners) -> None:
    """A hundred names are one question; after ten minutes somebody may have taken the port over."""
    clock = ManualClock()
    publisher = ListenerPublisher(HTTP, ledger.live_proofs, clock, listeners)
    with pytest.raises(ListenError):
        await publisher.wait_until_visible([proof(HTTP)])
    subject = listening(ledger, listeners)
    await subject.record([proof(HTTP)], ProofState.JOURNALLED)
    await publisher.wait_until_visible([proof(HTTP)])
    await publisher.wait_until_visible([proof(HTTP, 1)])
    await clock.advance(BELIEVED_FOR)
    with pytest.raises(ListenError):
        await publisher.wait_until_visible([proof(HTTP, 1)])


async def test_our_own_question_is_not_taken_for_the_cas(ledger: Ledger, listeners: Listeners) -> None:
    """R37 through the whole way: checked, not asked; asked by somebody, asked."""
    subject = listening(ledger, listeners)
    await subject.publish([proof(HTTP)])
    waiting = asyncio.create_task(subject.publisher.wait_until_asked([proof(HTTP)]))
    await listeners.check(proof(HTTP))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await asked_over_http(listeners, proof(HTTP))
    await waiting


async def test_answers_outlive_their_withdrawal_and_not_their_process(tmp_path: Path) -> None:
    """Invariant 5, as far as a process that ends when its work is done can keep it."""

    async def run(*, first: bool) -> bool:
        async with (
            open_ledger(tmp_path / "ledger.sqlite", clock=CLOCK, node="node") as ledger,
            open_listeners(ledger.live_proofs, CLOCK, http=[LOOPBACK]) as listeners,
        ):
            if first:
                await ledger.commit(None, Step.INTENT_STORED, *GROUND, order())
                subject = listening(ledger, listeners)
                await subject.publish([proof(HTTP)])
                await subject.withdraw([proof(HTTP)])
            return await asked_over_http(listeners, proof(HTTP))

    assert await run(first=True)
    assert not await run(first=False)
