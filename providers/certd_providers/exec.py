"""A program of your own as DNS provider, by the contract of lego's `exec` provider.

`PROGRAM present _acme-challenge.example.org. VALUE` adds one TXT value, `PROGRAM cleanup …` removes that one; exit
status 0 says it was done, 77 or 78 (sysexits: no permission, configuration) that trying again cannot help. A program
written for lego works unchanged, if it adds and removes single values and bears to be repeated. Nothing that comes from
a name or a CA ever reaches a shell (HK7).
"""

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path

from certd.api import (
    Clock,
    ConfigError,
    Dns01Proof,
    DnsProvider,
    ProviderError,
    ProviderSpec,
    Tools,
    objection,
    run_program,
)

PASSED_ON = ("PATH", "HOME", "LANG")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Variables that change what a program is, rather than what it knows.
_NEVER = re.compile(r"LD_.*|DYLD_.*|BASH_FUNC_.*|BASH_ENV|ENV|IFS|SHELLOPTS|BASHOPTS|PS4", re.ASCII)
_HOPELESS = frozenset({os.EX_NOPERM, os.EX_CONFIG})
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class _Verb(Enum):
    PRESENT = "present"
    CLEANUP = "cleanup"


@dataclass(frozen=True, slots=True)
class ExecOptions:
    program: Path = field(
        metadata={
            "doc": "the program; it and its folders must belong to root or to certd's user",
            "example": "/usr/local/bin/certd-dns",
        }
    )
    timeout: int = field(default=120, metadata={"doc": "seconds for one call; then it is ended with all its children"})
    env: tuple[str, ...] = field(
        default=(),
        metadata={"doc": f"names of variables that it gets from certd's environment, beside {', '.join(PASSED_ON)}"},
    )

    def __post_init__(self) -> None:
        if not 1 <= self.timeout <= 3600:
            raise ConfigError(f"timeout: {self.timeout} is not between 1 and 3600 seconds")
        for name in self.env:
            if not _NAME.fullmatch(name):
                raise ConfigError("env: takes the names of variables only, their values come from certd's environment")
            if _NEVER.fullmatch(name):
                raise ConfigError(f"env: {name} changes what a program does and is never passed on")


class Exec:
    """Calls the program once a value, one call after the other: most such programs cannot bear two at once."""

    def __init__(self, options: ExecOptions, environment: Mapping[str, str], clock: Clock) -> None:
        self._program = options.program
        self._limit = timedelta(seconds=options.timeout)
        self._environment = environment
        self._unspoken = [environment[name] for name in options.env]
        self._clock = clock
        self._turn = asyncio.Lock()

    async def publish(self, proofs: frozenset[Dns01Proof]) -> None:
        async with self._turn:
            for proof in sorted(proofs):
                await self._call(_Verb.PRESENT, proof)

    async def withdraw(self, proofs: frozenset[Dns01Proof]) -> None:
        """Every value is tried: one that cannot be removed does not keep the others."""
        failures: list[ProviderError] = []
        async with self._turn:
            for proof in sorted(proofs):
                try:
                    await self._call(_Verb.CLEANUP, proof)
                except ProviderError as failure:
                    failures.append(failure)
        if failures:
            texts = dict.fromkeys(str(failure) for failure in failures)
            retry = any(failure.retry for failure in failures)
            raise ProviderError("\n".join(texts), retry=retry, hint=failures[0].hint)

    async def _call(self, verb: _Verb, proof: Dns01Proof) -> None:
        attempt = f"{proof.name}: {self._program} {verb.value} failed"
        # Looked at before each call: hours may lie between publishing and withdrawing.
        if (why := await asyncio.to_thread(objection, self._program)) is not None:
            raise ProviderError(f"{attempt}: it {why}", retry=False)
        argv = (str(self._program), verb.value, f"{proof.name}.", proof.value)
        try:
            outcome = await run_program(argv, self._environment, self._clock, self._limit)
        except OSError as failure:
            raise ProviderError(
                f"{attempt}: {(failure.strerror or '').lower()}",
                retry=failure.errno in _PASSING,
                hint="a script begins with a line such as #!/bin/sh, and what that names must exist",
            ) from failure
        if (complaint := outcome.complaint(self._limit, unspoken=self._unspoken)) is not None:
            raise ProviderError(f"{attempt}: {complaint}", retry=outcome.timed_out or outcome.status not in _HOPELESS)


def environment_for(options: ExecOptions, environ: Mapping[str, str]) -> dict[str, str]:
    """What the program gets of *environ*; raises ConfigError when a variable that it needs is not there."""
    absent = [name for name in options.env if name not in environ]
    if absent:
        raise ConfigError(f"provider exec: env: {', '.join(absent)} is not set in certd's environment")
    passed = {name: environ[name] for name in (*PASSED_ON, *options.env) if name in environ}
    return {"PATH": _DEFAULT_PATH, **passed}


@asynccontextmanager
async def _open(options: ExecOptions, tools: Tools) -> AsyncIterator[DnsProvider]:
    if (why := await asyncio.to_thread(objection, options.program)) is not None:
        raise ConfigError(f"provider exec: program: {options.program} {why}")
    yield Exec(options, environment_for(options, os.environ), tools.clock)


SPEC = ProviderSpec(
    name="exec",
    summary="a program of your own, called as lego calls it: PROGRAM present|cleanup NAME VALUE",
    options=ExecOptions,
    open=_open,
)
