"""Errors with their real causes: how the command ends, and the words that a person needs to go on."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.flow import causes
from tests.flow.everywhere.backstage import Backstage, backstage
from tests.flow.everywhere.command import Ran
from tests.flow.scene import NAME, Cause, Scene, scene

pytestmark = [pytest.mark.server("nginx"), pytest.mark.server("bind")]

KEYS = {"status", "kind", "error", "hint", "retry_at", "problems", "exit_status"}
LONG_NAME = "a." * 130 + "localhost"  # no resolver has to be asked: a name has 253 characters at most


@pytest.fixture(scope="module")
def behind() -> Iterator[Backstage]:
    with backstage() as running:
        yield running


@pytest.fixture
def stage(tmp_path: Path, behind: Backstage, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    with scene(tmp_path, behind, capsys) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Case:
    """`first`: how the error begins, the identifier first. `words`: also there, in the error or its hints."""

    name: str
    cause: Cause
    status: int
    first: str
    words: Sequence[str] = ()


ASKED = rf"{NAME}: http-01 failed: 127\.0\.0\.1: "
LATER = rf"{NAME}: .*too many of these \(urn:ietf:params:acme:error:rateLimited\)"

CASES = [
    Case("wrong port", causes.nobody_listens, 1, r"127\.0\.0\.1:\d+: .*connection refused", ["is the port right?"]),
    Case("no TLS", causes.no_tls_there, 1, r"127\.0\.0\.1:\d+: .*there is no TLS on this port", ["https only"]),
    Case("not a CA", causes.another_kind_of_server, 1, r"127\.0\.0\.1:\d+: directory: .*404", []),
    Case(
        "plain http",
        lambda s: s.issue("--server", "http://127.0.0.1:14000/dir"),
        2,
        r"http://127\.0\.0\.1:14000/dir: ACME is spoken over https only",
        ["--ca-bundle FILE"],
    ),
    Case("untrusted", causes.untrusted, 1, r"127\.0\.0\.1:\d+: .*certificate is not accepted", ["--ca-bundle FILE"]),
    Case(
        "the CA's name does not resolve",
        lambda s: s.issue("--server", f"https://{LONG_NAME}/dir", "--http-address", "127.0.0.1:0"),
        1,
        r"a\.a\..*: directory: its name does not resolve",
    ),
    Case(
        "not a CA's name",
        lambda s: s.issue("--server", "letsencript"),
        2,
        "'letsencript' is not a CA",
        ["did you mean letsencrypt?"],
    ),
    Case(
        "port taken",
        causes.the_port_is_taken,
        1,
        r"127\.0\.0\.1:\d+: cannot listen for http-01, the port is taken: nginx \(pid \d+\)",
        ["--webroot DIR", "proxy_pass http://127.0.0.1:8402;", "location ^~ /.well-known/acme-challenge/"],
    ),
    Case(
        "another server answers",
        causes.another_server_answers,
        1,
        ASKED + ".*404",
        ["another server answered", "--webroot", "nothing was changed; 4 of 5"],
    ),
    Case("nothing answers", causes.nothing_answers, 1, ASKED, ["port 80 of each name", "nothing was changed; 4 of 5"]),
    Case(
        "not a name",
        lambda s: s.at(s.hell(), "-d", "shop,test"),
        2,
        "'shop,test' is not a host name",
        ["-d shop -d test"],
    ),
    Case(
        "wildcard without DNS",
        lambda s: s.at(s.hell(), "-d", "*.shop.test"),
        2,
        r"\*\.shop\.test: a wildcard can only be validated by DNS",
        ["--dns PROVIDER"],
    ),
    Case(
        "not certified here",
        lambda s: s.at(s.hell(), "-d", "shop.de"),
        2,
        r"shop\.de: .*rejectedIdentifier",
        ["shop.de"],
    ),
    Case(
        "terms",
        causes.without_terms,
        2,
        "https://.*/dir: this CA wants its terms of service agreed to: https://",
        ["--agree-tos"],
    ),
    Case(
        "EAB missing",
        causes.without_binding,
        2,
        "https://.*/dir: this CA wants an external account binding",
        ["--eab-kid KID"],
    ),
    Case("EAB wrong", causes.bound_by_another_key, 1, r"127\.0\.0\.1:\d+: newAccount: .*unauthorized", []),
    Case(
        "EAB key on the command line",
        lambda s: s.at(s.hell(), "--eab-kid", "k", "--eab-hmac-key", "c2VjcmV0"),
        2,
        "--eab-hmac-key: a secret is given by reference",
        ["file:/"],
    ),
    Case("state below a file", causes.below_a_file, 1, "/.*: cannot make the state directory: ", []),
    Case(
        "state not writable",
        lambda s: s.at(s.hell(), "--state-dir", "/sys/kernel/certd"),
        1,
        "/sys/kernel/certd: cannot make the state directory: ",
        [],
    ),
    Case("state open to others", causes.open_to_others, 1, "/.*: others can write to it", ["chmod go-w"]),
    Case("state in use", causes.held, 75, r"/.*: held by pid \d+ \(certd run\)", ["--state-dir"]),
    Case("copies over a file", causes.a_file_for_copies, 1, "/.*/out: ", []),
    Case("bad TSIG key", causes.signed_by_another_tsig_key, 1, "test: adding 1 TXT value at .*BADSIG", ["key_secret"]),
    Case(
        "limited at newOrder",
        lambda s: causes.limited(s, "new-order"),
        75,
        LATER,
        ["again at 20", "(in 59 minutes)|(in 60 minutes)"],
    ),
    Case(
        "limited at newAccount",
        lambda s: causes.limited(s, "new-account"),
        75,
        r"127\.0\.0\.1:\d+: newAccount: too many",
        ["again at 20"],
    ),
    Case("out of order", causes.out_of_order, 75, f"{NAME}: .*HTTP 503 with text/html", ["again at 20"]),
    Case("new terms", causes.new_terms, 1, f"{NAME}: .*the terms have changed", ["https://ca.example/agree?id=7"]),
    Case("account ended", causes.deactivated, 3, "https://.*: this account is deactivated", ["certd account register"]),
    Case(
        "account missing",
        lambda s: s.at(s.hell(), "--account", "https://ca.example/7"),
        3,
        "https://ca.example/7: this account is pinned",
        ["backup"],
    ),
    Case(
        "reserved names",
        lambda s: s.issue("--server", "letsencrypt", "-d", "localhost"),
        3,
        r"shop\.test: names under test are reserved",
        ["nothing was sent to Let's Encrypt", "--server dev", "localhost: names under localhost"],
    ),
    Case(
        "unknown profile",
        lambda s: s.at(s.hell(), "--profile", "nosuch"),
        2,
        "profile 'nosuch': .* offers default, shortlived",
        ["--profile"],
    ),
    Case(
        "unknown provider",
        lambda s: s.at(s.hell(), "--dns", "rfc2137"),
        2,
        "provider rfc2137: there is no such provider",
        ["rfc2136"],
    ),
    Case(
        "webroot missing",
        lambda s: s.at(s.hell(), "--webroot", str(s.folder / "www")),
        1,
        "/.*/www: cannot publish http-01 answers",
        ["--webroot"],
    ),
]


def word_is_there(word: str, text: str) -> bool:
    return any(each in text for each in word.split("|"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_the_error_says_what_was_tried_and_what_to_do(stage: Scene, case: Case) -> None:
    arguments = [*case.cause(stage)]
    ran = stage.certd(*arguments)
    first = next(line for line in ran.err.splitlines() if line.startswith("error: "))
    assert ran.status == case.status, ran.err
    assert re.match(case.first, first.removeprefix("error: ")), ran.err
    assert [word for word in case.words if not word_is_there(word, ran.err)] == [], ran.err
    assert ran.out == ""
    check_json(stage.certd(*arguments, "--json"), case)


def check_json(ran: Ran, case: Case) -> None:
    """One object, the same keys whatever happened, and nothing else on stdout."""
    (line,) = ran.out.splitlines()
    found = json.loads(line)
    assert set(found) == KEYS
    assert (found["status"], found["exit_status"], ran.status) == ("error", case.status, case.status), ran.out
    assert "error: " not in ran.err
    if case.status == 75 and "again at 20" in case.words:
        assert datetime.now(UTC) < datetime.fromisoformat(found["retry_at"]) < datetime.now(UTC) + timedelta(hours=2)
