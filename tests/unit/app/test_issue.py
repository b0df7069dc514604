"""`certd issue` in this process, at the embedded CA: what is said, repaired, swept, copied, and what goes on."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from certd.app.issue import run_issue
from certd.app.request import ChallengeOptions, IssueRequest, OutOptions
from certd.app.result import CHECKED, ISSUED, UP_TO_DATE, IssueResult
from certd.model.errors import ConfigError, ListenError, PolicyRefused, StorageError, TryLater
from certd.model.keys import KeyType
from tests.fakes.publishers import Progress
from tests.unit.ca.csr import make_csr

NAME = "shop.test"


class Shop:
    """Somebody with a state directory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.told: list[str] = []

    async def issue(self, *names: str, **changes: Any) -> IssueResult:
        progress = Progress()
        request = {"names": names or (NAME,), "server": "dev", "state_dir": self.state, "wait": 0.0, **changes}
        try:
            return await run_issue(IssueRequest(**request), progress)
        finally:
            self.told = progress.notes

    def live(self, file: str = "fullchain", name: str = NAME) -> Path:
        return self.state / "live" / name / f"{file}.pem"

    def count(self, table: str, where: str = "1") -> int:
        with closing(sqlite3.connect(self.state / "ledger.sqlite")) as ledger:
            (found,) = ledger.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()  # noqa: S608 - ours
            return int(found)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


async def test_the_first_run_issues_and_the_second_has_nothing_to_do(shop: Shop) -> None:
    first = await shop.issue()
    assert (first.status, first.finding, first.names) == (ISSUED, "no certificate yet", (NAME,))
    assert first.live == shop.state / "live" / NAME
    second = await shop.issue()
    assert (second.status, second.finding, second.generation) == (UP_TO_DATE, "", first.generation)
    assert shop.count("orders") == 1


async def test_what_has_changed_is_said_before_it_is_issued_again(shop: Shop) -> None:
    await shop.issue()
    result = await shop.issue(NAME, "www.shop.test", key_type="rsa2048")
    assert result.finding == "names changed: +www.shop.test; key type changed: EC P-256 → RSA 2048"
    assert shop.told == [f"{NAME}: {result.finding}"]
    assert result.generation is not None
    assert (result.generation.number, result.generation.key_type) == (2, KeyType.RSA2048)


async def test_force_says_so(shop: Shop) -> None:
    await shop.issue()
    assert (await shop.issue(force=True)).finding == "asked for by --force"


async def test_files_that_are_gone_come_back_without_the_ca(shop: Shop) -> None:
    """The ledger is the truth; `live/` is an export."""
    await shop.issue()
    chain = shop.live().read_bytes()
    for path in sorted((shop.state / "generations").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert (await shop.issue()).status == UP_TO_DATE
    assert shop.live().read_bytes() == chain
    assert shop.count("orders") == 1


async def test_copies_that_were_written_again_are_told(shop: Shop) -> None:
    out = shop.folder / "out"
    await shop.issue(out=OutOptions(out))
    (out / "privkey.pem").unlink()
    result = await shop.issue(out=OutOptions(out))
    assert result.notes == (f"{NAME}: written again in {out}: privkey.pem",)


async def test_an_ipv6_name_is_proven_to_the_embedded_ca(shop: Shop) -> None:
    result = await shop.issue("::1", "127.0.0.1")
    assert (result.name, result.live) == ("::1", shop.state / "live" / "0--1")


async def test_a_csr_keeps_its_key_elsewhere(shop: Shop) -> None:
    csr = shop.folder / "csr.der"
    csr.write_bytes(make_csr([NAME]))
    result = await shop.issue(csr=csr)
    assert result.generation is not None
    assert result.generation.key_id is None
    assert sorted(path.name for path in shop.live().parent.iterdir()) == ["cert.pem", "chain.pem", "fullchain.pem"]
    assert (await shop.issue(csr=csr)).status == UP_TO_DATE
    csr.write_bytes(make_csr([NAME]))
    assert (await shop.issue(csr=csr)).status == UP_TO_DATE, "signed again, for the same key"


async def test_another_key_in_the_csr_is_another_certificate(shop: Shop) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    csr = shop.folder / "csr.der"
    csr.write_bytes(make_csr([NAME]))
    await shop.issue(csr=csr)
    csr.write_bytes(make_csr([NAME], ec.generate_private_key(ec.SECP256R1())))
    assert (await shop.issue(csr=csr)).finding == "key changed: to that of another CSR"
    assert (await shop.issue()).finding == "key changed: from that of a CSR to one of certd's own"


async def test_what_an_order_that_is_over_left_behind_is_taken_away(shop: Shop) -> None:
    """Invariant 5: a run that was killed leaves its row, and the next run of any certificate sweeps."""
    www = shop.folder / "www"
    www.mkdir()
    with pytest.raises(Exception, match="http-01 failed"):
        await shop.issue(challenge=ChallengeOptions(webroot=www, http_address="127.0.0.1:0"))
    with closing(sqlite3.connect(shop.state / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE proofs SET state = 'journalled', withdraw_at = NULL")
        (token, value) = ledger.execute("SELECT name, value FROM proofs").fetchone()
    left = www / ".well-known" / "acme-challenge" / token
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text(value)
    foreign = left.with_name("somebody-elses")
    foreign.write_text("x")
    await shop.issue("other.test")
    with closing(sqlite3.connect(shop.state / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE proofs SET withdraw_at = 0 WHERE withdraw_at IS NOT NULL")
    await shop.issue("other.test")
    assert not left.exists()
    assert foreign.exists()


@pytest.mark.parametrize(
    ("names", "changes", "kind", "said"),
    [
        (("localhost",), {"server": "letsencrypt"}, PolicyRefused, "localhost: names under localhost are reserved"),
        ((NAME,), {"profile": "nosuch"}, ConfigError, "profile 'nosuch': .* offers default, shortlived"),
        ((NAME,), {"out": OutOptions(Path("/dev/null/out"))}, StorageError, "/dev/null/out: "),
        ((NAME,), {"challenge": ChallengeOptions(webroot=Path("/nonexistent"))}, ListenError, "/nonexistent: "),
    ],
)
async def test_what_cannot_work_is_found_before_an_order(
    names: tuple[str, ...], changes: dict[str, Any], kind: type[Exception], said: str, shop: Shop
) -> None:
    with pytest.raises(kind, match=said):
        await shop.issue(*names, **changes)
    assert not (shop.state / "live").exists()
    if (shop.state / "ledger.sqlite").exists():
        assert shop.count("orders", "url IS NOT NULL") == 0


async def test_the_embedded_ca_is_the_same_each_time(shop: Shop) -> None:
    """Whoever was told to trust its root once goes on trusting what it issues."""
    await shop.issue()
    root = (shop.state / "devca" / "root.pem").read_bytes()
    await shop.issue("other.test")
    assert (shop.state / "devca" / "root.pem").read_bytes() == root
    assert shop.count("accounts") == 1


async def test_beside_a_devca_on_the_same_state_nothing_is_issued(shop: Shop) -> None:
    from certd.devca import DevCa, Options

    shop.state.mkdir(mode=0o700)
    async with DevCa.start(Options.friendly(state_dir=shop.state / "devca")):
        with pytest.raises(StorageError) as caught:
            await shop.issue()
    assert "certd devca" in caught.value.hint


async def test_a_state_that_is_held_is_told_and_not_waited_for_without_patience(shop: Shop) -> None:
    from certd.app.house import open_house

    async with open_house(shop.state, wait=0):
        with pytest.raises(TryLater, match=r"held by pid \d+"):
            await shop.issue()
        assert shop.told == []


async def test_a_dry_run_tells_what_would_be_done_and_does_none_of_it(shop: Shop) -> None:
    result = await shop.issue(dry_run=True, out=OutOptions(shop.folder / "out"), reload="true")
    assert (result.status, result.finding, result.generation) == (CHECKED, "no certificate yet", None)
    assert list(shop.folder.iterdir()) == []
    await shop.issue()
    assert (await shop.issue(dry_run=True)).finding == ""


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"reload": "/nonexistent/reload"}, ConfigError, "--reload: /nonexistent/reload: there is no such program"),
        ({"profile": "nosuch"}, ConfigError, "shop.test: profile 'nosuch': the embedded CA offers default, shortlived"),
        ({"out": OutOptions(Path("/dev/null/out"))}, StorageError, "/dev/null/out: /dev/null is not a directory"),
        ({"state_dir": Path("/dev/null/state")}, StorageError, "/dev/null/state: /dev/null is not a directory"),
    ],
)
async def test_a_dry_run_finds_what_a_run_would_meet(
    changes: dict[str, Any], kind: type[Exception], said: str, shop: Shop
) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        await shop.issue(dry_run=True, **changes)
