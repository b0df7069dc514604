"""Somebody with a state directory who orders certificates from one CA: the command line without its repetitions."""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.flow.everywhere.authorities import DEAD, SILENT, ZONE, Authority, Feature
from tests.flow.everywhere.command import Ran, run_here, run_process
from tests.flow.everywhere.served import Binding

#: Runs of a command whose nonces were all refused. One step in a thousand is, and a run has a dozen.
MOST_OUTAGES = 4


@dataclass(slots=True)
class Customer:
    """`stem` is in all names asked for, so that tests at one CA have nothing in common."""

    authority: Authority
    folder: Path
    capsys: pytest.CaptureFixture[str]
    stem: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}")
    _binding: Binding | None = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def name(self, label: str = "www") -> str:
        return f"{label}.{self.stem}.{ZONE}"

    def dead_name(self) -> str:
        """Its address is one where nobody listens."""
        return f"www.{self.stem}.{DEAD}"

    def silent_name(self) -> str:
        """Its address is one where a test may listen."""
        return f"www.{self.stem}.{SILENT}"

    def live(self, name: str, file: str = "fullchain") -> Path:
        return self.state / "live" / name.replace("*", "_wildcard").replace(":", "-") / f"{file}.pem"

    def at_the_ca(self) -> tuple[str, ...]:
        """Options of every command that talks to it."""
        return (
            *("--server", self.authority.directory_url, "--ca-bundle", str(self.authority.ca_bundle)),
            *("--state-dir", str(self.state)),
        )

    def as_new(self) -> tuple[str, ...]:
        """Options that a new account needs."""
        agreed = ("--agree-tos",) if Feature.TERMS in self.authority.kind.features else ()
        return (*agreed, *(self.bound(self.binding) if Feature.EAB in self.authority.kind.features else ()))

    @property
    def binding(self) -> Binding:
        if self._binding is None:
            self._binding = self.authority.new_binding()
        return self._binding

    def bound(self, binding: Binding) -> tuple[str, ...]:
        file = self.folder / f"eab-{binding.kid}"
        file.touch(mode=0o600)
        file.write_text(f"{binding.key}\n")
        return ("--eab-kid", binding.kid, "--eab-hmac-key", f"file:{file}")

    def by_http(self) -> tuple[str, ...]:
        return ("--http-address", self.authority.http_address)

    def by_dns(self) -> tuple[str, ...]:
        """Updates to the CA's own name server."""
        dns, secret = self.authority.dns, self.folder / "tsig"
        secret.touch(mode=0o600)
        secret.write_text(f"{dns.key.secret}\n")
        return (
            *("--dns", "rfc2136", "--dns-option", f"server={dns.server}"),
            *("--dns-option", f"key_name={dns.key.name}", "--dns-option", f"key_secret=file:{secret}"),
            *self.asking(),
        )

    def asking(self) -> tuple[str, ...]:
        """We ask the CA's name server, too."""
        server = self.authority.dns.server
        return ("--dns-resolver", server, "--dns-server", f"{ZONE}={server}")

    def issue(self, *more: str, proofs: Sequence[str] | None = None) -> Ran:
        """`certd issue` with http-01, or with other *proofs*."""
        return self.certd("issue", *self.as_new(), *(self.by_http() if proofs is None else proofs), *more)

    def certd(self, *arguments: str) -> Ran:
        """A command at this CA, in this process."""
        return self._until_heard(lambda: run_here([*arguments, *self.at_the_ca()], self.capsys))

    def offline(self, *arguments: str) -> Ran:
        """A command that talks to nobody."""
        return run_here([*arguments, "--state-dir", str(self.state)], self.capsys)

    def process(self, *arguments: str, pass_fds: Sequence[int] = ()) -> Ran:
        """The same as a process of its own."""
        return self._until_heard(lambda: run_process([*arguments, *self.at_the_ca()], pass_fds))

    def _until_heard(self, run: Callable[[], Ran]) -> Ran:
        """At a CA that refuses half of all nonces it refuses ten in a row at times: the command is given again.

        What it said before stays said.
        """
        left, said = MOST_OUTAGES if Feature.REFUSES_NONCES in self.authority.kind.features else 0, ""
        while True:
            ran = run()
            said += ran.err
            if ran.status != 1 or "refused each nonce" not in ran.out + ran.err or left == 0:
                return replace(ran, err=said)
            left -= 1

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        with closing(sqlite3.connect(f"file:{self.state}/ledger.sqlite?mode=ro", uri=True)) as ledger:
            return ledger.execute(sql).fetchall()
