"""The rfc2136 provider against BIND 9: the provider contract, and what only DNS UPDATE has."""

import asyncio
import itertools
import random
from pathlib import Path

import dns.asyncquery
import dns.message
import pytest

from certd.api import Dns01Proof
from certd_providers.rfc2136 import ALGORITHMS, MOST_PER_UPDATE, SPEC
from tests.flow.conftest import StartBind
from tests.provider_contract import VALUES, ProviderContract, Subject
from tests.servers.bind import Bind, BindOptions, new_key
from tests.servers.process import stop

ZONES = ("example.test", "other.test")
_numbers = itertools.count()


def subject_at(server: Bind, folder: Path, /, **options: str) -> Subject:
    """As a person gives it, with *options* instead of what would be right."""

    def key_file(secret: str) -> str:
        path = folder / f"key-{next(_numbers)}"
        path.touch(mode=0o600)
        path.write_text(f"{secret}\n")
        return f"file:{path}"

    async def down() -> None:
        await stop(server.running.process)

    wrong = new_key().secret
    pairs = {"server": server.server, "key_name": server.key.name, "key_secret": key_file(server.key.secret), **options}
    return Subject(
        spec=SPEC,
        pairs=tuple((key, value) for key, value in pairs.items() if value),
        bad_pairs=tuple((pairs | {"key_secret": key_file(wrong)}).items()),
        zones=ZONES,
        values=server.txt,
        add=lambda name, value: server.add(name, "TXT", f'"{value}"'),
        stop=down,
        secrets=(server.key.secret, wrong),
    )


@pytest.fixture
async def server(start_bind: StartBind) -> Bind:
    return await start_bind(BindOptions(zones=ZONES))


class TestContract(ProviderContract):
    @pytest.fixture
    def subject(self, server: Bind, tmp_path: Path) -> Subject:
        return subject_at(server, tmp_path)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_signs(algorithm: str, start_bind: StartBind, tmp_path: Path) -> None:
    server = await start_bind(BindOptions(zones=ZONES, algorithm=algorithm))
    subject = subject_at(server, tmp_path, key_algorithm=f"{algorithm.upper()}.")
    async with subject.opened() as provider:
        await provider.publish(frozenset({subject.proof()}))

    assert await server.txt(subject.proof().name) == {VALUES[0]}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"key_name": "another-key"}, "refused the signature (BADKEY)"),
        ({"key_algorithm": "hmac-sha512"}, "refused the signature (BADKEY)"),
        ({"key_name": "", "key_secret": ""}, "REFUSED"),
    ],
    ids=["name", "algorithm", "no-key"],
)
async def test_a_key_that_does_not_fit_says_so(
    options: dict[str, str], says: str, server: Bind, tmp_path: Path
) -> None:
    subject = subject_at(server, tmp_path, **options)
    async with subject.opened() as provider:
        error = await subject.refusal(provider.publish(frozenset({subject.proof()})))

    address, port = server.server.split(":")
    assert str(error).startswith(f"example.test: adding 1 TXT value at {address} port {port} failed: ")
    assert says in str(error)
    assert error.hint
    assert not error.retry


async def test_what_the_policy_refuses_leaves_the_whole_zone_as_it_was(start_bind: StartBind, tmp_path: Path) -> None:
    """An update is applied whole or not at all (RFC 2136 §3.7), so there is nothing to clean up."""
    policy = ("name _acme-challenge.mine.example.test. TXT",)
    server = await start_bind(BindOptions(zones=ZONES, policy=policy))
    subject = subject_at(server, tmp_path)
    async with subject.opened() as provider:
        both = frozenset({subject.proof(label="mine"), subject.proof(label="yours")})
        error = await subject.refusal(provider.publish(both))
        assert await server.txt(subject.proof(label="mine").name) == set()
        await provider.publish(frozenset({subject.proof(label="mine")}))

    assert not error.retry
    assert "update-policy" in error.hint
    assert await server.txt(subject.proof(label="mine").name) == {VALUES[0]}


@pytest.mark.parametrize(
    ("zone", "name", "says", "hint"),
    [
        ("foreign.test", "_acme-challenge.foreign.test", "NOTAUTH", "not the primary"),
        ("sub.example.test", "_acme-challenge.sub.example.test", "NOTAUTH", "not the primary"),
        (".", "_acme-challenge.example.test", "NOTAUTH", "not the primary"),
        ("example.test", "_acme-challenge.foreign.test", "NOTZONE", "outside of the zone"),
    ],
)
async def test_a_zone_that_is_not_there_is_an_error_that_trying_again_cannot_help(
    zone: str, name: str, says: str, hint: str, server: Bind, tmp_path: Path
) -> None:
    subject = subject_at(server, tmp_path)
    async with subject.opened() as provider:
        error = await subject.refusal(provider.publish(frozenset({Dns01Proof(name, VALUES[0], zone)})))

    assert says in str(error)
    assert hint in error.hint
    assert not error.retry


async def test_a_zone_that_fails_does_not_keep_the_others(server: Bind, tmp_path: Path) -> None:
    """Withdrawal matters most: what can be removed is removed."""
    subject = subject_at(server, tmp_path)
    foreign = {Dns01Proof(f"_acme-challenge.{zone}", VALUES[0], zone) for zone in ("a.foreign.test", "z.foreign.test")}
    proofs = subject.many(2) | foreign
    async with subject.opened() as provider:
        error = await subject.refusal(provider.publish(proofs))
        assert not await subject.missing(subject.many(2))
        await subject.refusal(provider.withdraw(proofs))
        assert not await subject.leftover(subject.many(2))

    assert [line.split(":")[0] for line in str(error).splitlines()] == ["a.foreign.test", "z.foreign.test"]


async def test_more_values_than_one_update_takes_are_several_updates(server: Bind, tmp_path: Path) -> None:
    """Each has its longest name, so an update is as large as it gets."""
    subject = subject_at(server, tmp_path)
    count = MOST_PER_UPDATE * 2 + 1
    labels = [f"{number:03}{'a' * 60}.{'b' * 63}.{'c' * 63}.{'d' * 29}" for number in range(count)]
    proofs = frozenset(subject.proof(label=label) for label in labels)
    async with subject.opened() as provider:
        await provider.publish(proofs)
        assert len(await server.contents("example.test")) == count + 1  # and the name server's address
        await provider.withdraw(proofs)
        assert len(await server.contents("example.test")) == 1


async def test_records_of_other_types_beside_ours_stay(server: Bind, tmp_path: Path) -> None:
    subject = subject_at(server, tmp_path)
    name = subject.proof().name
    await server.add(name, "CAA", '0 issue "ca.test"')
    before = await server.contents("example.test")
    async with subject.opened() as provider:
        await provider.publish(frozenset({subject.proof()}))
        await provider.withdraw(frozenset({subject.proof()}))

    assert await server.contents("example.test") == before


@pytest.mark.parametrize("ttl", [0, 60, 86400])
async def test_the_records_live_as_long_as_the_option_says(ttl: int, server: Bind, tmp_path: Path) -> None:
    subject = subject_at(server, tmp_path, ttl=str(ttl))
    async with subject.opened() as provider:
        await provider.publish(frozenset({subject.proof()}))
    query = dns.message.make_query(subject.proof().name, "TXT")
    reply = await dns.asyncquery.tcp(query, server.address, port=server.port, timeout=5)

    assert [rrset.ttl for rrset in reply.answer] == [ttl]


async def test_every_address_of_the_servers_name_is_tried(server: Bind, tmp_path: Path) -> None:
    """`localhost` is ::1 as well, where nobody listens."""
    subject = subject_at(server, tmp_path, server=f"localhost:{server.port}")
    async with subject.opened() as provider:
        await provider.publish(frozenset({subject.proof()}))

    assert await server.txt(subject.proof().name) == {VALUES[0]}


async def test_three_orders_on_one_name_interleaved_a_thousand_times(server: Bind, tmp_path: Path) -> None:
    """DN1: whatever comes between, each has its own values and no others, and a stranger's stays."""
    subject = subject_at(server, tmp_path)
    name = subject.proof().name
    await server.add(name, "TXT", "stranger")

    async def order(values: tuple[str, ...], draw: random.Random) -> None:
        there: set[str] = set()
        async with subject.opened() as provider:
            for _ in range(350):
                chosen = {value for value in values if draw.random() < 0.5}
                proofs = frozenset(subject.proof(value) for value in chosen)
                if draw.random() < 0.5:
                    await provider.publish(proofs)
                    there |= chosen
                else:
                    await provider.withdraw(proofs)
                    there -= chosen
                if draw.random() < 0.05:
                    assert set(values) & await server.txt(name) == there
            await provider.withdraw(frozenset(subject.proof(value) for value in values))

    await asyncio.gather(*(order(VALUES[n * 3 : n * 3 + 3], random.Random(n)) for n in range(3)))
    assert await server.txt(name) == {"stranger"}
