"""A provider in use: opened once, closed once, and whatever it raises is an error that certd knows."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from certd.api import ConfigError, Dns01Proof, DnsProvider, ProviderError, ProviderSpec, Secret, Tools
from certd.plugins.opening import open_provider
from certd.plugins.options import Chosen
from tests.fakes.clock import ManualClock

VALUE = "c4n4ry-s3cr3t"
PROOFS = frozenset({Dns01Proof("_acme-challenge.example.test", "v" * 43, "example.test")})


@dataclass(frozen=True)
class Options:
    token: Secret[str]


@dataclass
class Recorder:
    """A provider that does what it is told to at each of its four moments."""

    opening: Callable[[], object] = lambda: None
    publishing: Callable[[], object] = lambda: None
    closing: Callable[[], object] = lambda: None
    seen: list[str] = field(default_factory=list, init=False)

    async def publish(self, proofs: frozenset[Dns01Proof]) -> None:
        await asyncio.sleep(0)
        self.seen.append("published")
        self.publishing()

    async def withdraw(self, proofs: frozenset[Dns01Proof]) -> None:
        self.seen.append("withdrew")
        self.publishing()

    @property
    def spec(self) -> ProviderSpec[Options]:
        @asynccontextmanager
        async def open_(options: Options, tools: Tools) -> AsyncIterator[DnsProvider]:
            self.seen.append(f"opened with {options.token.reveal()}")
            self.opening()
            yield self
            self.seen.append("closed")
            self.closing()

        return ProviderSpec(name="recorder", summary="for tests", options=Options, open=open_)


TOOLS = Tools(ManualClock(), random.Random(1), lambda _: Secret(VALUE))
CHOSEN = Chosen("recorder", (("token", "env:TOKEN"),))


def raising(*failures: Exception) -> Callable[[], object]:
    def act() -> None:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("several", failures)

    return act


async def test_it_is_opened_with_its_secrets_and_closed() -> None:
    recorder = Recorder()
    async with open_provider(recorder.spec, CHOSEN, TOOLS) as provider:
        await provider.publish(PROOFS)
        await provider.withdraw(PROOFS)

    assert recorder.seen == [f"opened with {VALUE}", "published", "withdrew", "closed"]


async def test_it_is_closed_when_the_work_fails_and_cannot_hide_that() -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError):
        async with open_provider(recorder.spec, CHOSEN, TOOLS):
            raise ZeroDivisionError

    assert recorder.seen[-1] == "closed"


async def test_a_secret_that_cannot_be_read_opens_nothing() -> None:
    def missing(reference: str) -> Secret[str]:
        raise ConfigError(f"{reference}: the variable is not set")

    recorder = Recorder()
    with pytest.raises(ConfigError, match="provider recorder: token: env:TOKEN: the variable is not set"):
        async with open_provider(recorder.spec, CHOSEN, Tools(ManualClock(), random.Random(1), missing)):
            pass
    assert recorder.seen == []


@pytest.mark.parametrize("moment", ["opening", "publishing", "closing"])
@pytest.mark.parametrize(
    "mistake",
    [KeyError(VALUE), OSError(VALUE), UnicodeError(VALUE), ExceptionGroup("g", [KeyError(VALUE), ConfigError("x")])],
    ids=lambda mistake: type(mistake).__name__,
)
async def test_what_it_should_not_raise_is_told_as_its_mistake_without_the_message(
    moment: str, mistake: Exception
) -> None:
    """An HTTP library's error holds the URL, and the URL the token."""
    recorder = Recorder(**{moment: raising(mistake)})
    with pytest.raises(ProviderError) as caught:
        async with open_provider(recorder.spec, CHOSEN, TOOLS) as provider:
            await provider.publish(PROOFS)

    assert caught.value.retry
    text = str(caught.value)
    assert text.startswith(f"provider recorder: failed by a mistake of its own: {type(mistake).__name__} at ")
    assert os.path.basename(__file__) in text  # noqa: PTH119 - a name
    assert VALUE not in text + caught.value.hint + repr(caught.value)


@pytest.mark.parametrize("error", [ProviderError("a", retry=False), ConfigError("a", hint="b")], ids=["one", "other"])
async def test_certds_own_errors_pass_as_they_are(error: Exception) -> None:
    for failure in (error, ExceptionGroup("g", [error])):
        recorder = Recorder(publishing=raising(failure))
        with pytest.raises(type(error)) as caught:
            async with open_provider(recorder.spec, CHOSEN, TOOLS) as provider:
                await provider.publish(PROOFS)
        assert caught.value is error


@pytest.mark.parametrize(
    ("failures", "text", "retry"),
    [
        ([ProviderError("a", retry=False), ProviderError("b", retry=True)], "a\nb", True),
        ([ProviderError("a", retry=False), ProviderError("a", retry=False)], "a", False),
        ([ProviderError("a", retry=False), ExceptionGroup("g", [ProviderError("c", retry=False)])], "a\nc", False),
    ],
    ids=["mixed", "equal", "nested"],
)
async def test_what_a_task_group_of_it_raises_becomes_one_error(
    failures: list[Exception], text: str, retry: bool
) -> None:
    recorder = Recorder(publishing=raising(*failures))
    with pytest.raises(ProviderError) as caught:
        async with open_provider(recorder.spec, CHOSEN, TOOLS) as provider:
            await provider.withdraw(PROOFS)

    assert str(caught.value) == text
    assert caught.value.retry is retry


async def test_cancelling_passes_through_and_closes_it() -> None:
    def cancel() -> None:
        raise asyncio.CancelledError

    recorder = Recorder(publishing=cancel)
    with pytest.raises(asyncio.CancelledError):
        async with open_provider(recorder.spec, CHOSEN, TOOLS) as provider:
            await provider.publish(PROOFS)

    assert recorder.seen[-1] == "closed"
