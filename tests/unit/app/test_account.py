"""Account commands: what options come to, and an account's life at the embedded CA."""

from pathlib import Path
from typing import Any

import pytest

from certd.app.account import (
    AccountRequest,
    account_wish,
    check_account,
    contact_urls,
    deactivate,
    register,
    roll_over,
    show,
    update,
)
from certd.app.house import open_house
from certd.app.issuers import parse_server
from certd.app.request import AccountOptions
from certd.model.errors import ConfigError, Mistakes, PolicyRefused
from certd.model.keys import KeyType
from tests.fakes.clock import ManualClock

CORP = parse_server("https://ca.test/directory", None)


def asked(state: Path, **options: Any) -> AccountRequest:
    return AccountRequest("dev", state, options=AccountOptions(**options), wait=0.0)


def secret(folder: Path) -> str:
    file = folder / "eab"
    file.touch(mode=0o600)
    file.write_text("bWFjIGtleQ\n")
    return f"file:{file}"


async def test_options_become_a_wish(tmp_path: Path) -> None:
    options = AccountOptions(
        email=("ops@shop.test", "mailto:noc@shop.test"),
        agree_tos=True,
        eab_kid="kid-1",
        eab_hmac_key=secret(tmp_path),
        eab_algorithm="HS512",
        account="https://ca.test/account/7",
        key_type="rsa2048",
    )
    async with open_house(tmp_path / "state", wait=0, clock=ManualClock()) as house:
        wish = account_wish(house, CORP, options)
        plain = account_wish(house, CORP, AccountOptions())
        dev = account_wish(house, parse_server("dev", None), AccountOptions())
    assert wish.contact == ("mailto:ops@shop.test", "mailto:noc@shop.test")
    assert (wish.issuer, wish.pinned, wish.key_type) == (CORP.id, "https://ca.test/account/7", KeyType.RSA2048)
    assert wish.external is not None
    assert (wish.external.kid, wish.external.algorithm) == ("kid-1", "HS512")
    assert wish.external.mac_key.reveal() == "bWFjIGtleQ"
    assert "bWFjIGtleQ" not in repr(wish)
    assert (plain.terms_agreed, plain.contact, plain.external, plain.pinned) == (False, (), None, None)
    assert dev.terms_agreed, "the embedded CA's terms are certd's own"


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ops",
        "@shop.test",
        "ops@shop",
        "a@b.test,c@d.test",
        "a@b.test?subject=x",
        "a b@c.test",
        "<a@b.test>",
        "a@b.test\n",
    ],
)
def test_a_contact_is_one_plain_address(email: str) -> None:
    """RFC 8555 §7.3: "hfields" and several addresses in one URL are rejected by CAs."""
    with pytest.raises(ConfigError, match="is not one e-mail address"):
        contact_urls((email,))


def test_mistakes_are_told_together_and_no_secret_with_them() -> None:
    options = AccountOptions(email=("ops",), eab_kid="kid", eab_hmac_key="Y2FuYXJ5", key_type="ed25519")
    with pytest.raises(Mistakes) as caught:
        check_account(options)
    assert [str(mistake).partition(":")[0] for mistake in caught.value.mistakes] == [
        *("Ed25519", "'ops' is not one e-mail address", "--eab-hmac-key"),
    ]
    assert "Y2FuYXJ5" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("given", "missing"), [({"eab_kid": "k"}, "--eab-hmac-key"), ({"eab_hmac_key": "file:/x"}, "--eab-kid")]
)
def test_half_a_binding_is_a_mistake(given: dict[str, Any], missing: str) -> None:
    with pytest.raises(ConfigError, match="belong together") as caught:
        check_account(AccountOptions(**given))
    assert caught.value.hint == f"add {missing}"


async def test_the_mac_key_that_cannot_be_read_is_told_by_its_option(tmp_path: Path) -> None:
    options = AccountOptions(eab_kid="k", eab_hmac_key="file:/nonexistent")
    async with open_house(tmp_path / "state", wait=0, clock=ManualClock()) as house:
        with pytest.raises(ConfigError, match=r"^--eab-hmac-key: file:/nonexistent: cannot be read"):
            account_wish(house, CORP, options)


async def test_an_accounts_whole_life(tmp_path: Path) -> None:
    """Registered once, changed, its key replaced, ended; never replaced by another one in silence."""
    made = await register(asked(tmp_path, email=("ops@shop.test",)))
    assert (made.issuer, made.status, made.contact) == ("the embedded CA", "valid", ("mailto:ops@shop.test",))
    assert (await register(asked(tmp_path))).url == made.url, "there is one already"
    assert (await update(asked(tmp_path, email=("noc@shop.test",)))).contact == ("mailto:noc@shop.test",)
    assert (await update(asked(tmp_path))).contact == ()
    rolled = await roll_over(asked(tmp_path, key_type="ec384"))
    assert (rolled.url, rolled.key_type, rolled.rollover_pending) == (made.url, KeyType.EC384, False)
    assert (await deactivate(asked(tmp_path))).status == "deactivated"
    with pytest.raises(PolicyRefused, match="this account is deactivated"):
        await register(asked(tmp_path, account=made.url))
    another = await register(asked(tmp_path))
    assert (another.status, another.url != made.url) == ("valid", True)
    assert [each.status for each in await show(tmp_path)] == ["deactivated", "valid"]


@pytest.mark.parametrize("act", [update, roll_over, deactivate])
async def test_where_there_is_no_account_none_is_made(act: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the embedded CA: there is no account in"):
        await act(asked(tmp_path / "typo"))
    assert not (tmp_path / "typo").exists()
    async with open_house(tmp_path / "state", wait=0):
        pass
    with pytest.raises(ConfigError, match="the embedded CA: there is no account in"):
        await act(asked(tmp_path / "state"))


async def test_showing_makes_no_state(tmp_path: Path) -> None:
    assert await show(tmp_path / "typo") == []
    assert not (tmp_path / "typo").exists()


async def test_a_pinned_account_that_is_not_here_is_never_replaced(tmp_path: Path) -> None:
    """Invariant 1."""
    await register(asked(tmp_path))
    with pytest.raises(PolicyRefused, match="this account is pinned, and its key is not in this state directory"):
        await register(asked(tmp_path, account="https://ca.test/account/7"))
    assert len(await show(tmp_path)) == 1
