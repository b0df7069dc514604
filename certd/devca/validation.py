"""Validating an answered challenge: from several source addresses, which must all see the proof, and once more later.

The late look changes nothing: RFC 8555 §8.3 lets a client remove its proof once the status is `valid`. It is recorded,
because real CAs have stragglers, and a client that removes too early is seen here first.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from certd.devca.authority import Authority, Validation
from certd.devca.authorizations import with_challenge
from certd.devca.options import Options
from certd.devca.problems import Problem, Refused, problem
from certd.devca.records import (
    DNS_01,
    HTTP_01,
    TLS_ALPN_01,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Identifier,
)
from certd.devca.validate_alpn import look_by_tls_alpn
from certd.devca.validate_dns import look_by_dns
from certd.devca.validate_http import look_by_http

Look = Callable[[Options, Identifier, str, str, str], Awaitable[None]]
LOOKS: Mapping[str, Look] = {HTTP_01: look_by_http, DNS_01: look_by_dns, TLS_ALPN_01: look_by_tls_alpn}
log = logging.getLogger(__name__)


class Validations:
    """Runs what `start` is told, each in its own task, all of them ended with `run`."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    def start(self, challenge: str) -> None:
        self._waiting.put_nowait(challenge)

    async def run(self, ca: Authority) -> None:
        """Until cancelled; begins with what a former run left `processing`."""
        for each in list(ca.store.authorizations.values()):
            for one in each.challenges:
                if one.status is ChallengeStatus.PROCESSING:
                    self.start(one.id)
        async with asyncio.TaskGroup() as group:
            while True:
                challenge = await self._waiting.get()
                group.create_task(_validated(ca, challenge, group), name=f"validate {challenge}")


async def _validated(ca: Authority, challenge: str, group: asyncio.TaskGroup) -> None:
    found, asked = _look_up(ca, challenge)
    expected = f"{asked.token}.{ca.store.accounts[found.account].thumbprint}"
    if ca.options.validation_delay:
        await ca.sleep(ca.rng.uniform(0, ca.options.validation_delay.total_seconds()))
    failure = await _seen_from_everywhere(ca, found.identifier, asked, expected)
    found, asked = _look_up(ca, challenge)
    if found.status is not AuthorizationStatus.PENDING:
        return  # deactivated in the meantime
    now = ca.now()
    if failure is not None:
        asked = replace(asked, status=ChallengeStatus.INVALID, error=failure.document())
        found = replace(with_challenge(found, asked), status=AuthorizationStatus.INVALID)
    else:
        asked = replace(asked, status=ChallengeStatus.VALID, validated=now)
        expires = now + ca.options.authorization_lifetime
        found = replace(with_challenge(found, asked), status=AuthorizationStatus.VALID, expires=expires)
    ca.store.put(found)
    if failure is None and ca.options.late_source is not None and not ca.options.always_valid:
        late = _late(ca, found.identifier, asked, expected, ca.options.late_source)
        group.create_task(late, name=f"late look {challenge}")


def _look_up(ca: Authority, challenge: str) -> tuple[Authorization, Challenge]:
    found = ca.store.authorization_of(challenge)
    assert found is not None  # noqa: S101 - only stored challenges are started, and nothing is deleted
    return found, next(each for each in found.challenges if each.id == challenge)


async def _seen_from_everywhere(
    ca: Authority, identifier: Identifier, asked: Challenge, expected: str
) -> Problem | None:
    """The first source alone, then the others together, as Boulder's perspectives do."""
    if ca.options.always_valid:
        return None
    first, *others = ca.options.sources
    failure = await _look(ca, identifier, asked, expected, first)
    if failure is not None or not others:
        return failure
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(_look(ca, identifier, asked, expected, each)) for each in others]
    failures = [each.result() for each in looks]
    failure = next((each for each in failures if each is not None), None)
    return replace(failure, detail=f"During secondary validation: {failure.detail}") if failure is not None else None


async def _late(ca: Authority, identifier: Identifier, asked: Challenge, expected: str, source: str) -> None:
    await ca.sleep(ca.options.late_after.total_seconds())
    await _look(ca, identifier, asked, expected, source, late=True)


async def _look(
    ca: Authority, identifier: Identifier, asked: Challenge, expected: str, source: str, *, late: bool = False
) -> Problem | None:
    at = ca.now()
    try:
        await LOOKS[asked.type](ca.options, identifier, asked.token, expected, source)
        failure = None
    except Refused as refusal:
        failure = refusal.problem
    except Exception:
        # One odd responder must not end the validation of all others.
        log.exception("validation failed in itself", extra={"identifier": identifier.value, "type": asked.type})
        failure = problem("serverInternal", "the validation failed in itself")
    said = failure.detail if failure is not None else None
    ca.validations.append(Validation(identifier.value, asked.type, source, at, late, said))
    return failure
