"""dns-01 through a provider, in memory: what is proven, what a person is told, and that it is opened once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from certd.api import ConfigError, Dns01Proof, DnsProvider, ProviderError, ProviderSpec, Secret, Tools
from certd.app.dns_publisher import DnsPublisher
from certd.dns.errors import DnsError
from certd.dns.settings import DnsSettings
from certd.ledger.ledger import open_ledger
from certd.model.acme import ChallengeType
from certd.model.identifiers import parse_identifier
from certd.model.proofs import Proof
from certd.model.steps import Step
from certd.plugins.options import Chosen
from tests.fakes.clock import START
from tests.fakes.publishers import Progress
from tests.publisher_contract import PublisherContract, Subject
from tests.unit.dns.world import World
from tests.unit.ledger.samples import GROUND, order

NAME = "_acme-challenge.example.test"


@dataclass(frozen=True)
class Options:
    token: Secret[str]


@dataclass
class Provider:
    """Changes a zone of *world*."""

    world: World
    calls: list[str] = field(default_factory=list)
    broken: bool = False

    async def publish(self, proofs: frozenset[Dns01Proof]) -> None:
        self._called("publish")
        self._remove(proofs)
        for proof in proofs:
            self.world.zones[0].publish(proof.name, proof.value, self.world.clock.now())

    async def withdraw(self, proofs: frozenset[Dns01Proof]) -> None:
        self._called("withdraw")
        self._remove(proofs)

    def _called(self, verb: str) -> None:
        self.calls.append(verb)
        if self.broken:
            raise ProviderError(f"{verb}: the zone is locked", retry=True)

    def _remove(self, proofs: frozenset[Dns01Proof]) -> None:
        gone = {(proof.name, proof.value) for proof in proofs}
        zone = self.world.zones[0]
        zone.published = [each for each in zone.published if each[1:] not in gone]

    @property
    def spec(self) -> ProviderSpec[Options]:
        @asynccontextmanager
        async def open_(options: Options, tools: Tools) -> AsyncIterator[DnsProvider]:
            self.calls.append("open")
            await asyncio.sleep(0)
            yield self
            self.calls.append("close")

        return ProviderSpec(name="memory", summary="for tests", options=Options, open=open_)


@dataclass
class Scene:
    world: World
    provider: Provider
    progress: Progress
    stack: AsyncExitStack
    publisher: DnsPublisher


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    world, progress = World(), Progress()
    world.zone("example.test", "192.0.2.1", "192.0.2.2")
    provider = Provider(world)
    tools = Tools(world.clock, random.Random(1), lambda _: Secret("c4n4ry"))
    chosen = Chosen("memory", (("token", "env:TOKEN"),))
    async with AsyncExitStack() as stack:
        publisher = DnsPublisher(
            provider.spec, chosen, tools=tools, settings=DnsSettings(), stack=stack, progress=progress
        )
        publisher._authorities = world.authorities()
        yield Scene(world, provider, progress, stack, publisher)


async def prove(scene: Scene, *names: str) -> list[Proof]:
    return [await scene.publisher.prove(parse_identifier(name), f"token-of-{name}.thumbprint") for name in names]


async def test_a_proof_is_the_digest_of_the_key_authorization_at_its_place(scene: Scene) -> None:
    """R44: base64url without padding. The value is what `openssl dgst -sha256` makes of it."""
    (proof,) = await prove(scene, "example.test")

    assert proof == Proof(
        ChallengeType.DNS_01,
        parse_identifier("example.test"),
        NAME,
        "g6g-Y4shj-J_JuKk4UdRWoF0KTrMkUqa_ZA5KB0ekSY",
        "example.test",
    )


async def test_apex_and_wildcard_are_proven_at_one_name_by_two_values(scene: Scene) -> None:
    apex, wildcard = await prove(scene, "example.test", "*.example.test")

    assert apex.name == wildcard.name == NAME
    assert apex.value != wildcard.value


async def test_proving_opens_nothing(scene: Scene) -> None:
    """The journal stands between: a proof is in it before any credential is used."""
    await prove(scene, "example.test")

    assert scene.provider.calls == []


async def test_a_secret_that_is_not_there_is_told_as_soon_as_it_is_opened(scene: Scene) -> None:
    """Which is before an order: an order that waits for a file to be mended is a validation half spent."""

    def missing(reference: str) -> Secret[str]:
        raise ConfigError(f"{reference}: the variable is not set")

    scene.publisher._tools = replace(scene.publisher._tools, secret=missing)
    with pytest.raises(ConfigError, match="provider memory: token: env:TOKEN: the variable is not set"):
        await scene.publisher.open()


async def test_it_is_opened_once_however_many_begin_and_closed_with_the_stack(scene: Scene) -> None:
    proofs = await prove(scene, "example.test", "*.example.test")
    await asyncio.gather(*(scene.publisher.publish([proof]) for proof in proofs))
    await scene.publisher.withdraw(proofs)
    await scene.stack.aclose()

    assert scene.provider.calls == ["open", "publish", "publish", "withdraw", "close"]


def test_the_journal_finds_it_again_by_words_without_secrets(scene: Scene) -> None:
    assert scene.publisher.method == "dns:memory"
    assert scene.publisher.options == '{"token":"env:TOKEN"}'
    assert not scene.publisher.is_the_journal


async def test_what_is_visible_soon_is_one_line(scene: Scene) -> None:
    proofs = await prove(scene, "example.test", "*.example.test")
    await scene.publisher.publish(proofs)
    await scene.publisher.wait_until_visible(proofs)

    assert scene.progress.notes == ["waiting until the name servers of example.test show 2 TXT values"]


async def test_a_server_that_lags_is_named_once(scene: Scene) -> None:
    scene.world.add_authority("192.0.2.2", lag=300)
    proofs = await prove(scene, "example.test")
    await scene.publisher.publish(proofs)
    await scene.publisher.wait_until_visible(proofs)

    assert scene.progress.notes == [
        "waiting until the name servers of example.test show 1 TXT value",
        f"still waiting for ns2.example.test (192.0.2.2:53): {NAME}: there is no such name yet",
    ]
    assert scene.world.clock.now() > START + timedelta(minutes=5)


async def test_a_server_that_is_not_waited_for_is_named(scene: Scene) -> None:
    """It worked this time; the zone should not have a dead name server all the same."""
    scene.world.servers.pop("192.0.2.2")
    proofs = await prove(scene, "example.test")
    await scene.publisher.publish(proofs)
    await scene.publisher.wait_until_visible(proofs)

    assert scene.progress.notes[-1] == "not waited for: ns2.example.test (192.0.2.2:53): no answer within 2 s"


async def test_what_never_becomes_visible_is_an_error_that_trying_again_may_help(scene: Scene) -> None:
    proofs = await prove(scene, "example.test")
    with pytest.raises(DnsError, match="not visible at every name server after 600 s") as caught:
        await scene.publisher.wait_until_visible(proofs)

    assert caught.value.retry


class TestDnsPublisher(PublisherContract):
    """With the zone `test` in memory, and another's record beside ours."""

    @pytest.fixture
    async def subject(self, tmp_path: Path) -> AsyncIterator[Subject]:
        world = World()
        zone = world.zone("test", "192.0.2.1", "192.0.2.2")
        zone.publish("_acme-challenge.a.test", "somebody-elses", START)
        provider = Provider(world)
        tools = Tools(world.clock, random.Random(1), lambda _: Secret("c4n4ry"))

        async with AsyncExitStack() as stack:

            def opened(_: str, options: str) -> DnsPublisher:
                made = DnsPublisher(
                    provider.spec,
                    Chosen.from_json("memory", options),
                    tools=tools,
                    settings=DnsSettings(),
                    stack=stack,
                    progress=Progress(),
                )
                made._authorities = world.authorities()
                return made

            async def shows(proof: Proof) -> bool:
                return any(each[1:] == (proof.name, proof.value) for each in zone.published)

            async def others() -> object:
                return [each for each in zone.published if each[2] == "somebody-elses"], dict(zone.records)

            async def spoil() -> None:
                provider.broken = True

            ledger = await stack.enter_async_context(open_ledger(tmp_path / "ledger", clock=world.clock, node="node"))
            await ledger.commit(None, Step.INTENT_STORED, *GROUND, order())
            yield Subject(
                publisher=opened("dns:memory", '{"token":"env:TOKEN"}'),
                type=ChallengeType.DNS_01,
                ledger=ledger,
                order_id=order().id,
                reopen=opened,
                shows=shows,
                others=others,
                spoil=spoil,
                sees_the_ca=False,
                checks=True,
            )
