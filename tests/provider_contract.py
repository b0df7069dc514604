"""What every DNS provider must do, whatever is behind it (`certd.api.DnsProvider`); a provider's tests inherit it.

A subclass has a fixture `subject`: the provider's spec and options, and a look at the world that it changes.
"""

import asyncio
import os
import random
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from certd.api import Dns01Proof, DnsProvider, ProviderError, ProviderSpec, SystemClock, Tools
from certd.plugins.opening import open_provider
from certd.plugins.options import check
from certd.secrets.references import canonical_reference, resolver

Pairs = Sequence[tuple[str, str]]

#: base64url has `-` and `_`, at the beginning as well.
VALUES = tuple(f"{start}{'Aa0_-' * 8}{number:02}" for number, start in enumerate("-_aZ09--__"))
CANCELLED_AFTER = (0, 1, 2, 4, 8, 16, 32, 64, 256)  # turns of the event loop


@dataclass(frozen=True)
class Subject:
    """A provider and its world. Names are absolute, without the last dot."""

    spec: ProviderSpec[Any]
    pairs: Pairs
    bad_pairs: Pairs  # credentials that do not serve
    zones: tuple[str, str]
    values: Callable[[str], Awaitable[set[str]]]
    add: Callable[[str, str], Awaitable[None]]  # as somebody else
    stop: Callable[[], Awaitable[None]]  # what it changes goes down
    secrets: tuple[str, ...]

    @asynccontextmanager
    async def opened(self, pairs: Pairs | None = None) -> AsyncIterator[DnsProvider]:
        """As certd opens it."""
        tools = Tools(SystemClock(), random.Random(1), resolver(os.environ))
        chosen = check(self.spec, self.pairs if pairs is None else pairs, canonical_reference)
        async with open_provider(self.spec, chosen, tools) as provider:
            yield provider

    def proof(self, value: str = VALUES[0], label: str = "", zone: int = 0) -> Dns01Proof:
        zone_name = self.zones[zone]
        return Dns01Proof(f"_acme-challenge.{label}{'.' if label else ''}{zone_name}", value, zone_name)

    def many(self, count: int) -> frozenset[Dns01Proof]:
        """In both zones."""
        return frozenset(self.proof(VALUES[n % 10], f"n{n // 2}", zone=n % 2) for n in range(count))

    async def missing(self, proofs: Iterable[Dns01Proof]) -> set[Dns01Proof]:
        return {proof for proof in proofs if proof.value not in await self.values(proof.name)}

    async def leftover(self, proofs: Iterable[Dns01Proof]) -> set[Dns01Proof]:
        return {proof for proof in proofs if proof.value in await self.values(proof.name)}

    async def refusal(self, work: Awaitable[None]) -> ProviderError:
        """The error of *work*; neither it nor what caused it may show a secret."""
        with pytest.raises(ProviderError) as caught:
            await work
        text = "".join(traceback.format_exception(caught.value)) + caught.value.hint + repr(caught.value)
        assert not [secret for secret in self.secrets if secret in text], "the error shows a secret"
        return caught.value


class ProviderContract:
    """Inherit it in a class `Test…`."""

    @pytest.fixture(autouse=True)
    def no_secret_is_logged_or_printed(
        self, subject: Subject, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> Iterator[None]:
        caplog.set_level(0)
        yield
        said = caplog.text + "".join(capfd.readouterr())
        assert not [secret for secret in subject.secrets if secret in said]

    async def test_a_value_is_there_after_publishing_and_gone_after_withdrawing(self, subject: Subject) -> None:
        proof = subject.proof()
        async with subject.opened() as provider:
            await provider.publish(frozenset({proof}))
            assert await subject.values(proof.name) == {proof.value}
            await provider.withdraw(frozenset({proof}))
            assert await subject.values(proof.name) == set()

    async def test_both_may_be_repeated(self, subject: Subject) -> None:
        proofs = frozenset({subject.proof()})
        async with subject.opened() as provider:
            await provider.publish(proofs)
            await provider.publish(proofs)
            assert await subject.values(subject.proof().name) == {VALUES[0]}
            await provider.withdraw(proofs)
            await provider.withdraw(proofs)
            assert await subject.values(subject.proof().name) == set()

    async def test_an_absent_value_may_be_withdrawn(self, subject: Subject) -> None:
        """After a crash nobody knows whether it was ever published."""
        async with subject.opened() as provider:
            await provider.withdraw(subject.many(4))

    async def test_an_empty_set_is_fine(self, subject: Subject) -> None:
        async with subject.opened() as provider:
            await provider.publish(frozenset())
            await provider.withdraw(frozenset())

    async def test_values_of_others_on_the_same_name_stay(self, subject: Subject) -> None:
        """Invariant 5: another client's challenge, or another order's, may be in the middle of its validation."""
        proof = subject.proof()
        await subject.add(proof.name, "somebody else's")
        async with subject.opened() as provider:
            await provider.publish(frozenset({proof}))
            assert await subject.values(proof.name) == {"somebody else's", proof.value}
            await provider.withdraw(frozenset({proof, subject.proof(VALUES[1])}))
            assert await subject.values(proof.name) == {"somebody else's"}

    async def test_apex_and_wildcard_share_a_name_with_two_values(self, subject: Subject) -> None:
        """I36: dehydrated, acme.sh and others overwrote one with the other, or removed both."""
        apex, wildcard = subject.proof(VALUES[0]), subject.proof(VALUES[1])
        async with subject.opened() as provider:
            await provider.publish(frozenset({apex, wildcard}))
            assert await subject.values(apex.name) == {apex.value, wildcard.value}
            await provider.withdraw(frozenset({apex}))
            assert await subject.values(apex.name) == {wildcard.value}

    async def test_one_after_the_other_does_not_overwrite_either(self, subject: Subject) -> None:
        async with subject.opened() as provider:
            for value in VALUES[:3]:
                await provider.publish(frozenset({subject.proof(value)}))

        assert await subject.values(subject.proof().name) == set(VALUES[:3])

    async def test_a_set_of_many_names_and_zones_is_one_call(self, subject: Subject) -> None:
        proofs = subject.many(60)
        async with subject.opened() as provider:
            await provider.publish(proofs)
            assert not await subject.missing(proofs)
            await provider.withdraw(proofs)
            assert not await subject.leftover(proofs)

    async def test_a_set_that_is_there_in_part_is_completed(self, subject: Subject) -> None:
        proofs = subject.many(8)
        async with subject.opened() as provider:
            await provider.publish(frozenset(sorted(proofs)[:3]))
            await provider.publish(proofs)
            assert not await subject.missing(proofs)

    async def test_orders_side_by_side_do_not_lose_each_others_values(self, subject: Subject) -> None:
        """Lexicon lost four of nine: it reads a name's values and writes them back with one more."""
        async with subject.opened() as one, subject.opened() as other:
            work = [
                provider.publish(frozenset({subject.proof(value)}))
                for provider, value in zip([one, other] * 5, VALUES, strict=True)
            ]
            await asyncio.gather(*work)
            assert await subject.values(subject.proof().name) == set(VALUES)
            await asyncio.gather(*(one.withdraw(frozenset({subject.proof(value)})) for value in VALUES[1:]))

        assert await subject.values(subject.proof().name) == {VALUES[0]}

    async def test_another_process_withdraws_what_this_one_published(self, subject: Subject) -> None:
        proofs = subject.many(4)
        async with subject.opened() as provider:
            await provider.publish(proofs)
        async with subject.opened() as provider:
            await provider.withdraw(proofs)

        assert not await subject.leftover(proofs)

    async def test_cancelled_midway_it_may_be_repeated(self, subject: Subject) -> None:
        """SIGTERM in the middle of a hundred names; the next run publishes them again, or sweeps them."""
        proofs = subject.many(8)
        async with subject.opened() as provider:
            for turns in CANCELLED_AFTER:
                for work, failed in ((provider.publish, subject.missing), (provider.withdraw, subject.leftover)):
                    await _cancel_after(turns, work(proofs))
                    await work(proofs)
                    assert not await failed(proofs), f"cancelled after {turns} turns"

    async def test_any_order_of_calls_leaves_what_it_should(self, subject: Subject) -> None:
        """DN1: the same calls on a set in memory say what must be there."""
        draw = random.Random(20261124)
        world: set[Dns01Proof] = set()
        pool = sorted(subject.many(6)) + [subject.proof(value) for value in VALUES[:4]]
        async with subject.opened() as provider:
            for _ in range(25):
                chosen = frozenset(draw.sample(pool, draw.randint(1, 4)))
                if draw.random() < 0.6:
                    await provider.publish(chosen)
                    world |= chosen
                else:
                    await provider.withdraw(chosen)
                    world -= chosen
        for name in {proof.name for proof in pool}:
            assert await subject.values(name) == {proof.value for proof in world if proof.name == name}

    async def test_the_longest_name_and_odd_labels_arrive_as_they_are(self, subject: Subject) -> None:
        room = 253 - len(subject.proof().name) - 1
        labels = [
            f"{'a' * 62}.{'b' * 63}.{'c' * 63}.{'d' * 63}"[:room].rstrip("."),
            "xn--mnchen-3ya",
            "_sip._tcp",
            "-x-",
        ]
        proofs = frozenset(subject.proof(label=label) for label in labels)
        async with subject.opened() as provider:
            await provider.publish(proofs)
            assert not await subject.missing(proofs)
            await provider.withdraw(proofs)
            assert not await subject.leftover(proofs)

    async def test_bad_credentials_are_an_error_that_trying_again_cannot_help(self, subject: Subject) -> None:
        proofs = frozenset({subject.proof()})
        async with subject.opened() as provider:
            await provider.publish(proofs)
        async with subject.opened(subject.bad_pairs) as provider:
            for work in (provider.publish(frozenset({subject.proof(VALUES[1])})), provider.withdraw(proofs)):
                assert not (await subject.refusal(work)).retry

        assert await subject.values(subject.proof().name) == {VALUES[0]}

    async def test_what_is_down_is_an_error_that_trying_again_may_help(self, subject: Subject) -> None:
        proofs = frozenset({subject.proof()})
        async with subject.opened() as provider:
            await provider.publish(proofs)
            await subject.stop()
            for work in (provider.publish(proofs), provider.withdraw(proofs)):
                error = await subject.refusal(work)
                assert error.retry
                assert subject.zones[0] in str(error)

    async def test_neither_the_provider_nor_its_options_show_a_secret(self, subject: Subject) -> None:
        tools = Tools(SystemClock(), random.Random(1), resolver(os.environ))
        chosen = check(subject.spec, subject.pairs, canonical_reference)
        async with open_provider(subject.spec, chosen, tools) as provider:
            text = f"{provider!r} {provider} {chosen!r} {chosen.to_json()} {subject.spec!r} {tools!r}"

        assert not [secret for secret in subject.secrets if secret in text]


async def _cancel_after(turns: int, work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.shield(task) if task.done() else await task
