"""exec: a program called as lego calls it, exactly, whatever it does then."""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from certd.api import Clock, ConfigError, Dns01Proof, DnsProvider, ProviderError, SystemClock, Tools
from certd.plugins.opening import open_provider
from certd.plugins.options import check
from certd.secrets.references import canonical_reference, resolver
from certd_providers.exec import SPEC
from tests.fakes.clock import ManualClock

PROOF = Dns01Proof("_acme-challenge.example.test", "-v" * 21 + "_", "example.test")
OTHER = Dns01Proof("_acme-challenge.www.example.test", "w" * 43, "example.test")
CANARY = "c4n4ry-s3cr3t"


@dataclass(frozen=True)
class Program:
    """A script in a folder of its own; what it writes beside itself is read here."""

    path: Path

    def write(self, body: str, *, first_line: str = "#!/bin/sh") -> None:
        self.path.write_text(f"{first_line}\ncd {self.path.parent}\n{body}\n")
        self.path.chmod(0o755)

    def said(self, name: str) -> str:
        path = self.path.parent / name
        return path.read_text() if path.exists() else ""

    @asynccontextmanager
    async def opened(self, *pairs: tuple[str, str], clock: Clock | None = None) -> AsyncIterator[DnsProvider]:
        tools = Tools(clock or SystemClock(), random.Random(1), resolver(os.environ))
        chosen = check(SPEC, [("program", str(self.path)), *pairs], canonical_reference)
        async with open_provider(SPEC, chosen, tools) as provider:
            yield provider

    async def refusal(self, *pairs: tuple[str, str]) -> ProviderError:
        async with self.opened(*pairs) as provider:
            with pytest.raises(ProviderError) as caught:
                await provider.publish(frozenset({PROOF}))
        return caught.value


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "dns-hook")


async def test_it_is_called_as_lego_calls_it(program: Program) -> None:
    """Programs written for lego read the name with its last dot, and the verb first."""
    calls = program.path.parent / "calls"
    code = f"import json, sys\nwith open('{calls}', 'a') as file: print(json.dumps(sys.argv), file=file)"
    program.path.write_text(f"#!{sys.executable}\n{code}\n")
    program.path.chmod(0o755)
    async with program.opened() as provider:
        await provider.publish(frozenset({OTHER, PROOF}))
        await provider.withdraw(frozenset({PROOF}))

    assert [json.loads(line) for line in program.said("calls").splitlines()] == [
        [str(program.path), "present", "_acme-challenge.example.test.", PROOF.value],
        [str(program.path), "present", "_acme-challenge.www.example.test.", OTHER.value],
        [str(program.path), "cleanup", "_acme-challenge.example.test.", PROOF.value],
    ]


async def test_it_gets_the_variables_on_a_fixed_list_and_those_it_was_promised(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HK7: nothing of the service manager, of certd's own credentials, or of whoever started it by hand."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("API_TOKEN", "$(id) `id`\n; x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    monkeypatch.setenv("LD_PRELOAD_NOT_REALLY", "1")
    program.write("env -0 > environment", first_line="#!/bin/sh")
    async with program.opened(("env", "API_TOKEN")) as provider:
        await provider.publish(frozenset({PROOF}))
    got = dict(each.split("=", 1) for each in program.said("environment").split("\0") if each)
    shells_own = {"PWD", "OLDPWD", "_", "SHLVL"}

    assert {name: value for name, value in got.items() if name not in shells_own} == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "API_TOKEN": "$(id) `id`\n; x",
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout": "0"}, "timeout: 0 is not between 1 and 3600 seconds"),
        ({"timeout": "3601"}, "timeout: 3601 is not between"),
        ({"env": f"TOKEN={CANARY}"}, "env: takes the names of variables only"),
        ({"env": "A,B C"}, "env: takes the names of variables only"),
        ({"env": "LD_PRELOAD"}, "env: LD_PRELOAD changes what a program does and is never passed on"),
        ({"env": "A,BASH_ENV"}, "env: BASH_ENV changes"),
        ({"env": "IFS"}, "env: IFS changes"),
        ({"program": ""}, "program: '' is not a path"),
    ],
)
def test_what_cannot_be_meant_is_a_mistake_before_anything_runs(options: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(SPEC, [*({"program": "/bin/true"} | options).items()], canonical_reference)

    assert says in str(caught.value)
    assert CANARY not in str(caught.value)


async def test_a_variable_that_is_not_there_is_told_when_it_is_opened(program: Program) -> None:
    program.write("exit 0")
    with pytest.raises(ConfigError, match="env: CERTD_NO_SUCH_VARIABLE is not set in certd's environment"):
        async with program.opened(("env", "PATH,CERTD_NO_SUCH_VARIABLE")):
            pass


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "cannot be used: no such file or directory"),
        (lambda path: path.chmod(0o644), "is not executable by certd"),
        (lambda path: path.chmod(0o777), "can be written by everybody on this host"),
    ],
    ids=["missing", "not-executable", "writable"],
)
async def test_a_program_that_must_not_be_run_is_not(change: object, says: str, program: Program) -> None:
    """HK8. Looked at when it is opened and before each call: hours may lie between publishing and withdrawing."""
    assert callable(change)
    program.write("touch ran")
    async with program.opened() as provider:
        change(program.path)
        with pytest.raises(ProviderError) as caught:
            await provider.withdraw(frozenset({PROOF}))
    with pytest.raises(ConfigError) as refused:
        async with program.opened():
            pass

    assert not caught.value.retry
    assert str(caught.value) == f"_acme-challenge.example.test: {program.path} cleanup failed: it {says}"
    assert str(refused.value) == f"provider exec: program: {program.path} {says}"
    assert not program.said("ran")


@pytest.mark.parametrize(
    ("body", "says", "retry"),
    [
        ("exit 1", "exit status 1", True),
        ("echo out; echo no such zone >&2; exit 3", "exit status 3: no such zone", True),
        ("echo quota is used up; exit 1", "exit status 1: quota is used up", True),
        ("echo wrong token; exit 77", "exit status 77: wrong token", False),
        ("exit 78", "exit status 78", False),
        ("kill -SEGV $$", "was killed by SIGSEGV", True),
        (r"printf '\033[31mred\033[0m\007\n\nblue\r\n' >&2; exit 1", "exit status 1: red / blue", True),
    ],
)
async def test_how_it_ended_and_its_last_words_are_the_error(
    body: str, says: str, retry: bool, program: Program
) -> None:
    program.write(body)
    error = await program.refusal()

    assert str(error) == f"_acme-challenge.example.test: {program.path} present failed: {says}"
    assert error.retry is retry


async def test_of_its_last_words_only_a_few_are_repeated(program: Program) -> None:
    program.write("head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 1")
    text = str(await program.refusal())

    assert len(text) < 700
    assert text.endswith("xxx")


async def test_a_token_that_it_was_given_is_not_repeated(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", CANARY)
    program.write("set -x; : $API_TOKEN; echo the API said: 401 for $API_TOKEN; exit 1")
    text = str(await program.refusal(("env", "API_TOKEN")))

    assert CANARY not in text
    assert "***" in text


@pytest.mark.parametrize("first_line", ["", "#!/nonexistent/interpreter", "\0\1\2"])
async def test_what_the_kernel_cannot_start_is_told_with_the_reason_that_is_likely(
    first_line: str, program: Program
) -> None:
    program.write("exit 0", first_line=first_line)
    error = await program.refusal()

    assert not error.retry
    assert "present failed: " in str(error)
    assert "#!/bin/sh" in error.hint


async def test_one_that_hangs_is_ended_and_may_be_tried_again(program: Program) -> None:
    """HK2; its children end with it: `tests/unit/program`."""
    clock = ManualClock()
    program.write("echo asking the API >&2; echo > ready; sleep 1000")
    async with program.opened(("timeout", "60"), clock=clock) as provider:
        publishing = asyncio.create_task(provider.publish(frozenset({PROOF})))
        while not (program.said("ready") and clock.sleepers):  # noqa: ASYNC110 - another program sets no event
            await asyncio.sleep(0.005)
        await clock.advance(timedelta(seconds=60))
        with pytest.raises(ProviderError) as caught:
            await publishing

    assert str(caught.value).endswith("present failed: was not done after 60 s and has been ended: asking the API")
    assert caught.value.retry


async def test_withdrawing_tries_every_value_and_tells_each_failure_once(program: Program) -> None:
    """One that cannot be removed does not keep the others."""
    program.write('echo "$3" >> tried; [ "$2" != _acme-challenge.example.test. ] || { echo stuck; exit 77; }')
    second = Dns01Proof(PROOF.name, "z" * 43, PROOF.zone)
    async with program.opened() as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.withdraw(frozenset({PROOF, second, OTHER}))

    assert sorted(program.said("tried").split()) == sorted([PROOF.value, second.value, OTHER.value])
    assert len(str(caught.value).splitlines()) == 1
    assert not caught.value.retry


async def test_publishing_ends_with_the_first_that_fails(program: Program) -> None:
    """Nothing is gained by the rest: without all of them the order cannot go on."""
    program.write('echo "$3" >> tried; exit 1')
    async with program.opened() as provider:
        with pytest.raises(ProviderError):
            await provider.publish(frozenset({PROOF, OTHER}))

    assert program.said("tried").split() == [PROOF.value]


async def test_it_is_never_called_twice_at_once(program: Program) -> None:
    """Most such programs read a zone, change it, and write it back."""
    program.write("mkdir busy || { echo overlap; exit 1; }; sleep 0.01; rmdir busy")
    proofs = [Dns01Proof(f"_acme-challenge.n{n}.example.test", "v" * 43, "example.test") for n in range(6)]
    async with program.opened() as provider:
        await asyncio.gather(*(provider.publish(frozenset({proof})) for proof in proofs))
        await asyncio.gather(*(provider.withdraw(frozenset({proof})) for proof in proofs))


async def test_a_relative_path_is_one_from_here(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program runs in `/`, and a sweep may run anywhere."""
    program.write("exit 0")
    monkeypatch.chdir(program.path.parent)

    assert check(SPEC, [("program", "dns-hook")], canonical_reference).to_json() == f'{{"program":"{program.path}"}}'
