"""The directory: where everything is, kept for a day, asked for again when it turns out to be an old one."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certd.ca.directory import FRESH_FOR, directory_from_json, directory_to_json, is_fresh, read_directory
from certd.model.acme import Directory, NewOrder
from certd.model.errors import CaError, CaProtocolError, CaRefused, ConfigError
from certd.model.identifiers import parse_identifiers
from tests.fakes.clock import START, LeapingClock
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import changed, problem, reply

ONE = NewOrder(parse_identifiers(["example.org"]))
URL = "https://ca.example/dir"
SMALLEST = b'{"newNonce":"https://ca.example/n","newAccount":"https://ca.example/a","newOrder":"https://ca.example/o"}'


def test_the_smallest_directory_has_three_urls_and_no_meta() -> None:
    """R17: `meta` and `newAuthz` are optional, as is everything that is not needed to order."""
    found = read_directory(SMALLEST, URL)
    assert (found.new_nonce, found.new_account, found.new_order) == (
        "https://ca.example/n",
        "https://ca.example/a",
        "https://ca.example/o",
    )
    assert (found.renewal_info, found.profiles, found.caa_identities, found.external_account_required) == (
        "",
        None,
        (),
        False,
    )


@pytest.mark.parametrize("field", ["newNonce", "newAccount", "newOrder"])
def test_a_directory_without_what_an_order_needs_is_refused(field: str) -> None:
    """R17."""
    with pytest.raises(CaProtocolError, match=field):
        read_directory(SMALLEST.replace(field.encode(), b"x"), URL)


def test_a_snapshot_is_read_back_as_it_was() -> None:
    """The ledger keeps it as text between two processes."""
    full = Directory(
        url=read_directory(SMALLEST, URL).url,
        new_nonce="https://ca.example/%41",
        new_account="https://ca.example/a?",
        new_order="https://ca.example/o",
        revoke_cert="https://ca.example/r",
        key_change="https://ca.example/k",
        new_authz="https://ca.example/z",
        renewal_info="https://ca.example/ari",
        terms_of_service="https://elsewhere.example/terms",
        website="https://elsewhere.example/",
        caa_identities=("ca.example", "x"),
        external_account_required=True,
        profiles={"default": "the usual", "ünï": ""},
    )
    assert directory_from_json(directory_to_json(full)) == full
    without: tuple[dict[str, str] | None, ...] = (None, {})
    for profiles in without:
        other = replace(read_directory(SMALLEST, URL), profiles=profiles)
        assert directory_from_json(directory_to_json(other)) == other


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"url": 1}', '{"url": "https://ca.example/dir"}', "{"])
def test_a_broken_snapshot_is_an_error(text: str) -> None:
    with pytest.raises(CaProtocolError):
        directory_from_json(text)


def test_a_snapshot_is_fresh_for_a_day_and_never_from_the_future() -> None:
    """CK: a clock that went back makes it old, not eternal."""
    assert is_fresh(START, START)
    assert is_fresh(START - FRESH_FOR + timedelta(seconds=1), START)
    assert not is_fresh(START - FRESH_FOR, START)
    assert not is_fresh(START + timedelta(seconds=1), START)


async def test_a_fresh_snapshot_saves_the_request(fake: FakeCa, connect: Connect) -> None:
    """One request less for each new process; `fetched_directory` says that there is nothing new to keep."""
    first = await connect()
    snapshot = first.fetched_directory
    assert snapshot is not None
    ca = await connect(directory=(snapshot, START - timedelta(hours=23)))
    assert fake.count("directory") == 1
    assert ca.fetched_directory is None


async def test_an_old_or_foreign_snapshot_is_not_used(fake: FakeCa, connect: Connect) -> None:
    """R17: no hard-coded paths, and none of another CA."""
    snapshot = (await connect()).fetched_directory
    assert snapshot is not None
    old = await connect(directory=(snapshot, START - timedelta(days=1)))
    foreign = await connect(directory=(replace(snapshot, url=read_directory(SMALLEST, URL).url), START))
    assert old.fetched_directory == foreign.fetched_directory == snapshot
    assert fake.count("directory") == 3


async def test_a_long_conversation_asks_again_once_a_day(fake: FakeCa, connect: Connect) -> None:
    """R17: a directory may change while certd runs."""
    clock = LeapingClock()
    ca = await connect(clock=clock)
    for _ in range(4):
        await clock.sleep_until(clock.now() + timedelta(hours=13))
        await ca.directory()
    assert fake.count("directory") == 3


async def test_fifty_tasks_fetch_one_directory(fake: FakeCa, connect: Connect) -> None:
    ca = await connect(registered=False)
    await asyncio.gather(*(ca.directory() for _ in range(50)))
    assert fake.count("directory") == 1


async def test_a_url_that_has_moved_is_found_in_a_new_directory(fake: FakeCa, connect: Connect) -> None:
    """R17: the snapshot's newOrder is gone, so the directory is asked for and the order sent once more."""
    snapshot = (await connect()).fetched_directory
    assert snapshot is not None
    old = replace(snapshot, new_order=f"{fake.base}/former-new-order")
    fake.next("unknown", problem("malformed", 404))
    ca = await connect(directory=(old, START - timedelta(hours=1)))
    assert (await ca.new_order(ONE)).url
    assert ca.fetched_directory == snapshot


async def test_a_url_that_is_gone_for_good_is_looked_for_once(fake: FakeCa, connect: Connect) -> None:
    """R17: and not with every request."""
    ca = await connect()
    fake.always("newOrder", reply(404))
    for _ in range(3):
        with pytest.raises(CaRefused):
            await ca.new_order(ONE)
    assert fake.count("directory") == 1
    assert fake.count("newOrder") == 3


async def test_an_empty_meta_or_one_of_another_type_is_no_meta(fake: FakeCa, connect: Connect) -> None:
    """R17."""
    empty: list[Any] = [None, [], "x", {}]
    for meta in empty:
        fake.next("directory", changed(lambda d, meta=meta: d.update(meta=meta)))  # type: ignore[misc]
        ca = await connect(registered=False)
        assert (await ca.directory()).terms_of_service == ""


async def test_what_the_ca_does_not_offer_is_said(fake: FakeCa, connect: Connect) -> None:
    """R17: an optional resource is asked for only where it is."""
    fake.state.without = {"renewalInfo", "keyChange", "newAuthz"}
    ca = await connect()
    from certd.model.acme import CertId
    from tests.fakes.signing import FakeKey

    for call in (
        lambda: ca.renewal_info(CertId("a.b")),
        lambda: ca.rollover(FakeKey.make()),
        lambda: ca.new_authorization(ONE.identifiers[0]),
    ):
        with pytest.raises(CaError, match="does not offer"):
            await call()


async def test_a_profile_that_is_not_advertised_is_not_asked_for(fake: FakeCa, connect: Connect) -> None:
    """A1.5: SHOULD NOT; what the CA has is named."""
    ca = await connect()
    with pytest.raises(ConfigError, match=r"'tlsclient': .* offers default, shortlived"):
        await ca.new_order(replace(ONE, profile="tlsclient"))
    assert fake.count("newOrder") == 0


async def test_a_profile_newer_than_the_snapshot_is_found(fake: FakeCa, connect: Connect) -> None:
    """A1.5: the CA may have got it since yesterday."""
    snapshot = (await connect()).fetched_directory
    assert snapshot is not None
    old = (replace(snapshot, profiles={"default": ""}), START - timedelta(hours=20))
    ca = await connect(directory=old)
    assert (await ca.new_order(replace(ONE, profile="shortlived"))).profile == "shortlived"


async def test_a_ca_without_profiles_says_none(fake: FakeCa, connect: Connect) -> None:
    """A1.5."""
    fake.state.meta.pop("profiles")
    ca = await connect()
    with pytest.raises(ConfigError, match="offers none"):
        await ca.new_order(replace(ONE, profile="default"))
    assert (await ca.new_order(ONE)).profile == ""


async def test_a_page_that_is_not_there_may_not_be_a_directory_at_all(fake: FakeCa, connect: Connect) -> None:
    """The commonest mistake with a CA of one's own: its address instead of its directory's."""
    ca = await connect(registered=False)
    fake.always("directory", reply(404))
    with pytest.raises(CaRefused) as caught:
        await ca.directory()
    assert caught.value.hint.startswith("is this the CA's directory URL?")
