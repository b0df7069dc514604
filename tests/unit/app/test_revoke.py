"""Which certificate is meant, who signs, and what is remembered of it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certd.app.account import AccountRequest, deactivate
from certd.app.issue import run_issue
from certd.app.request import IssueRequest
from certd.app.result import ISSUED, UP_TO_DATE
from certd.app.revoke import RevokeRequest, RevokeResult, revoke
from certd.model.acme import RevocationReason
from certd.model.errors import CaRefused, ConfigError
from tests.fakes.publishers import Progress

NAME = "shop.test"
COMPROMISE = RevocationReason.KEY_COMPROMISE


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """With one certificate from the embedded CA."""
    await issue(tmp_path / "state")
    return tmp_path / "state"


async def issue(state: Path, *names: str, **changes: Any) -> str:
    request = IssueRequest(names=names or (NAME,), server="dev", state_dir=state, **changes)
    return (await run_issue(request, Progress())).status


async def revoked(state: Path, what: str = NAME, **changes: Any) -> RevokeResult:
    request = {"reason": RevocationReason.UNSPECIFIED, "state_dir": state, "wait": 0.0, **changes}
    return await revoke(RevokeRequest(what, **request))


def live(state: Path, file: str = "fullchain", name: str = NAME) -> Path:
    return state / "live" / name / f"{file}.pem"


async def test_by_its_name_through_the_account_once(state: Path) -> None:
    first = await revoked(state)
    assert (first.name, first.generation, first.by, first.was_revoked) == (NAME, 1, "account", False)
    again = await revoked(state)
    assert (again.serial, again.was_revoked) == (first.serial, True)


@pytest.mark.parametrize("written", ["SHOP.test.", "Shop.Test"])
async def test_a_name_is_found_as_people_write_it(written: str, state: Path) -> None:
    assert (await revoked(state, written)).name == NAME


async def test_what_is_revoked_is_replaced_by_the_next_run(state: Path) -> None:
    assert await issue(state) == UP_TO_DATE
    await revoked(state)
    assert await issue(state) == ISSUED
    assert await issue(state) == UP_TO_DATE


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
async def test_a_file_is_recognised_as_one_of_ours(encoding: Encoding, state: Path, tmp_path: Path) -> None:
    """An older generation can be revoked no other way."""
    leaf = x509.load_pem_x509_certificate(live(state).read_bytes())
    file = tmp_path / "old"
    file.write_bytes(leaf.public_bytes(encoding))
    await issue(state, force=True)
    result = await revoked(state, str(file))
    assert (result.name, result.generation, result.serial) == (NAME, 1, f"{leaf.serial_number:x}")
    assert await issue(state) == UP_TO_DATE, "the newest one is not revoked"


async def test_a_name_of_ours_comes_before_a_file_of_that_name(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).write_text("notes about the shop")
    monkeypatch.chdir(tmp_path)
    assert (await revoked(state)).name == NAME


async def test_a_compromised_key_signs_for_itself(state: Path) -> None:
    """BR 4.9.1.1: the CA then refuses that key to everybody."""
    assert (await revoked(state, reason=COMPROMISE)).by == "certificate key"


async def test_without_an_account_the_certificates_key_is_left(state: Path) -> None:
    await deactivate(AccountRequest("dev", state))
    assert (await revoked(state)).by == "certificate key"


@pytest.fixture
def elsewhere(state: Path, tmp_path: Path) -> Path:
    """Chain and key as another client left them; the CA is where it was."""
    for file in ("fullchain", "privkey"):
        shutil.copy(live(state, file), tmp_path / f"{file}.pem")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    shutil.copytree(state / "devca", other / "devca")
    return tmp_path


async def test_a_certificate_from_elsewhere_needs_its_ca_and_its_key(elsewhere: Path) -> None:
    other, chain = elsewhere / "other", str(elsewhere / "fullchain.pem")
    with pytest.raises(ConfigError, match="does not know its CA"):
        await revoked(other, chain)
    with pytest.raises(ConfigError, match="no account of this state directory"):
        await revoked(other, chain, server="dev")
    assert sorted(path.name for path in other.iterdir()) == ["devca"], "no state is made for that"


async def test_a_given_key_signs_even_where_there_is_an_account(elsewhere: Path) -> None:
    """Another client's account ordered it, so ours may not revoke it; the key may."""
    other, chain = elsewhere / "other", str(elsewhere / "fullchain.pem")
    await issue(other, "unrelated.test")
    with pytest.raises(CaRefused, match="unauthorized"):
        await revoked(other, chain, server="dev")
    result = await revoked(other, chain, server="dev", key=elsewhere / "privkey.pem")
    assert (result.by, result.name, result.generation) == ("certificate key", "", 0)


async def test_a_key_of_another_certificate_is_not_sent(state: Path, elsewhere: Path) -> None:
    await issue(state, "other.test")
    with pytest.raises(ConfigError, match=r"privkey\.pem: this is not the key of the certificate"):
        await revoked(state, str(elsewhere / "fullchain.pem"), key=live(state, "privkey", "other.test"))


async def test_only_the_ca_that_issued_it_can_revoke_it(state: Path) -> None:
    with pytest.raises(ConfigError, match="the embedded CA issued it, and only that CA can revoke it"):
        await revoked(state, server="letsencrypt")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "other.test",
            r"other\.test: neither the name of a certificate in .*state \(there are: shop\.test\) nor a file",
        ),
        ("/nonexistent.pem", "/nonexistent.pem: neither"),
        ("/etc/passwd", "/etc/passwd: no certificate in it that can be read"),
    ],
)
async def test_what_is_no_certificate_is_told(what: str, said: str, state: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        await revoked(state, what)


async def test_a_damaged_file_is_a_mistake_with_its_path(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "damaged.pem"
    file.write_text(live(state).read_text().replace("A", "B", 40))
    with pytest.raises(ConfigError, match=r"damaged\.pem: no certificate"):
        await revoked(state, str(file))
