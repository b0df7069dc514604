"""Waiting until the world sees the values: lag, anycast, dead and broken servers, in virtual time (DN1 to DN6, I35)."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import dns.message
import pytest

from certd.api import Dns01Proof
from certd.dns.ask import Question
from certd.dns.authorities import Authorities
from certd.dns.errors import DnsError, Unanswered
from certd.dns.propagation import Visible, wait_until_visible
from certd.dns.settings import Server
from tests.fakes.clock import START, VirtualClock
from tests.fakes.dns_server import Anycast, Authority, Mood, Zone, ask_in_memory
from tests.unit.dns.world import World, proof

ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::4")
MINUTES = 60.0


def four_servers(*published: Dns01Proof) -> World:
    """`example.test`, with the proofs published now and shown everywhere at once."""
    world = World()
    zone = world.zone("example.test", *ADDRESSES)
    for each in published:
        zone.publish(each.name, each.value, START)
    return world


async def wait(world: World, *wanted: Dns01Proof, seed: int = 1, **settings: Any) -> tuple[Visible, float]:
    """What it returned, and after how many seconds."""
    authorities = world.authorities(**settings)
    visible = await wait_until_visible(frozenset(wanted), authorities, world.clock, random.Random(seed))
    return visible, (world.clock.now() - START).total_seconds()


async def failure(world: World, *wanted: Dns01Proof, **settings: Any) -> DnsError:
    with pytest.raises(DnsError) as caught:
        await wait(world, *wanted, **settings)
    assert caught.value.retry
    return caught.value


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


async def test_what_every_server_shows_is_visible_after_two_answers_of_each() -> None:
    world = four_servers(proof("example.test"))
    visible, waited = await wait(world, proof("example.test"))

    assert visible == Visible()
    assert waited == 0.25
    for address in ADDRESSES:
        assert world.asked(address) == [("_acme-challenge.example.test", "TXT")] * 2


async def test_one_of_four_that_lags_ten_minutes_is_waited_for() -> None:
    """DN2: the CA asks whichever it likes."""
    world = four_servers(proof("example.test"))
    slow = world.add_authority("192.0.2.3", lag=10 * MINUTES)
    _, waited = await wait(world, proof("example.test"), propagation_timeout=seconds(15 * MINUTES))

    assert 10 * MINUTES < waited < 10 * MINUTES + 20
    assert len(slow.asked) < 70
    assert len(world.asked("192.0.2.1")) == 2


async def test_the_answers_of_an_anycast_address_may_alternate() -> None:
    """DN3: one good answer says little about the other nodes behind the same address."""
    world = four_servers(proof("example.test"))
    zone = world.zones[0]
    nodes = [Authority([zone], world.clock), Authority([zone], world.clock, lag=seconds(120))]
    world.servers["192.0.2.2"] = Anycast(*nodes)
    _, waited = await wait(world, proof("example.test"))

    assert waited > 120


async def test_apex_and_wildcard_share_a_name_and_both_values_must_be_there() -> None:
    both = (proof("example.test", "a" * 43), proof("example.test", "b" * 43))
    world = four_servers(both[0])
    world.zones[0].publish(both[1].name, both[1].value, START + seconds(30))
    _, waited = await wait(world, *both)

    assert waited > 30


async def test_values_of_others_do_not_matter() -> None:
    world = four_servers(proof("example.test"), proof("example.test", "leftover"), proof("example.test", ""))

    assert (await wait(world, proof("example.test")))[0] == Visible()


async def test_a_value_that_comes_in_pieces_is_whole() -> None:
    """RFC 1035 §3.3.14: where the strings are split means nothing."""
    world = four_servers()
    world.zones[0].records["_acme-challenge", "TXT"] = ['"' + "v" * 20 + '" "" "' + "v" * 23 + '"']

    assert (await wait(world, proof("example.test")))[0] == Visible()


async def test_a_value_in_quotation_marks_is_another_value() -> None:
    """What a web form for zones makes of a value that was pasted with its quotation marks."""
    world = four_servers()
    world.zones[0].records["_acme-challenge", "TXT"] = [r'"\"' + "v" * 43 + r'\""']
    error = await failure(world, proof("example.test"), propagation_timeout=seconds(5))

    assert f"our value is missing, it has '\"{'v' * 43}\"'" in str(error)


async def test_fifty_names_are_asked_for_side_by_side() -> None:
    wanted = [proof(f"n{number}.example.test") for number in range(50)]
    world = four_servers(*wanted)
    _, waited = await wait(world, *wanted)

    assert waited == 0.25
    assert {len(world.asked(address)) for address in ADDRESSES} == {100}


async def test_every_zone_is_asked_at_its_own_servers() -> None:
    elsewhere = proof("validation.test", zone="validation.test")
    world = four_servers(proof("example.test"))
    world.zone("validation.test", "192.0.2.9").publish(elsewhere.name, elsewhere.value, START + seconds(60))
    _, waited = await wait(world, proof("example.test"), elsewhere)

    assert waited > 60
    assert ("_acme-challenge.validation.test", "TXT") not in world.asked("192.0.2.1")


class TestServersThatDoNotAnswer:
    """DN5, DN6: an unreachable address, such as all of IPv6 from here, must not block for ever."""

    async def test_a_dead_one_is_named_and_not_waited_for(self) -> None:
        world = four_servers(proof("example.test"))
        world.servers.pop("2001:db8::4")
        visible, waited = await wait(world, proof("example.test"))

        assert visible.unheard == ("ns4.example.test ([2001:db8::4]:53): no answer within 2 s",)
        assert waited == 4  # two questions, for one may have been lost

    @pytest.mark.parametrize("mood", [Mood.REFUSED, Mood.LAME])
    async def test_one_that_does_not_serve_the_zone_is_not_waited_for(self, mood: Mood) -> None:
        world = four_servers(proof("example.test"))
        world.add_authority("192.0.2.2", mood=mood)
        visible, waited = await wait(world, proof("example.test"))

        assert "does not serve the zone" in visible.unheard[0]
        assert waited < 1

    async def test_one_that_fails_for_long_is_taken_for_broken(self) -> None:
        """A secondary whose zone has expired: resolvers, the CA's too, go on to the next server."""
        world = four_servers(proof("example.test"))
        world.add_authority("192.0.2.2", mood=Mood.SERVFAIL)
        visible, waited = await wait(world, proof("example.test"))

        assert "ns2.example.test (192.0.2.2:53): _acme-challenge.example.test: SERVFAIL" in visible.unheard
        assert 15 < waited < 45

    async def test_one_that_fails_for_a_moment_must_agree(self) -> None:
        """It is loading the zone: a moment later it might show the CA the old one."""
        world = four_servers(proof("example.test"))
        server = world.add_authority("192.0.2.2", lag=60, mood=Mood.SERVFAIL)
        waiting = asyncio.create_task(wait(world, proof("example.test")))
        await world.clock.sleep_until(START + seconds(5))
        server.mood = Mood.HONEST

        assert (await waiting)[1] > 60

    async def test_one_that_failed_once_and_falls_silent_is_dead(self) -> None:
        world = four_servers(proof("example.test"))
        server = world.add_authority("192.0.2.2", mood=Mood.SERVFAIL)
        waiting = asyncio.create_task(wait(world, proof("example.test")))
        await world.clock.sleep_until(START + seconds(0.1))
        server.mood = Mood.SILENT

        assert (await waiting)[1] < 10

    async def test_one_that_spoke_and_falls_silent_does_not_agree(self) -> None:
        """It showed that it serves the zone, without our value; what it shows now nobody knows."""
        world = four_servers(proof("example.test"))
        server = world.add_authority("192.0.2.2", lag=10)
        waiting = asyncio.create_task(failure(world, proof("example.test"), propagation_timeout=seconds(60)))
        await world.clock.sleep_until(START + seconds(1))
        server.mood = Mood.SILENT

        assert "ns2.example.test (192.0.2.2:53): no answer within 2 s" in str(await waiting)

    async def test_every_second_datagram_may_be_lost(self) -> None:
        world = four_servers(proof("example.test"))
        lossy = ask_in_memory(world.servers, world.clock)
        count = 0

        async def ask(server: Server, question: Question) -> dns.message.Message:
            nonlocal count
            count += 1
            if count % 2:
                await world.clock.sleep_until(world.clock.now() + seconds(2))
                raise Unanswered("lost")
            return await lossy(server, question)

        settings = world.authorities(servers=(("example.test", Server("192.0.2.1")),)).settings
        authorities = Authorities(settings, world.clock, ask=ask)
        wanted = frozenset({proof("example.test")})

        assert await wait_until_visible(wanted, authorities, world.clock, random.Random(1)) == Visible()

    async def test_a_given_server_without_authority_has_its_say(self) -> None:
        """A laboratory's answers "no such data" without authority, which is a referral from any other."""
        world = four_servers()
        world.add_authority("192.0.2.1", mood=Mood.LAME)
        given = (("example.test", Server("192.0.2.1")),)
        error = await failure(world, proof("example.test"), servers=given, propagation_timeout=seconds(5))

        assert str(error).endswith("192.0.2.1:53: _acme-challenge.example.test: our value is missing")

    async def test_when_no_server_can_be_reached_the_hint_names_the_option(self) -> None:
        world = four_servers()
        for address in ADDRESSES:
            world.servers.pop(address)
        error = await failure(world, proof("example.test"), propagation_timeout=seconds(30))

        assert "ns4.example.test ([2001:db8::4]:53): no answer within 2 s" in str(error)
        assert "--dns-server example.test=ADDR:PORT" in error.hint


class TestWhenTimeIsUp:
    async def test_the_error_says_who_disagrees_and_what_they_answered(self) -> None:
        wanted = (proof("example.test", "a" * 43), proof("example.test", "b" * 43))
        world = four_servers(*wanted, proof("example.test", "old\x1b[31m\n"))
        world.add_authority("192.0.2.2", lag=3600)
        stale = Zone("example.test")
        stale.publish(wanted[0].name, "old\x1b[31m", START)
        world.servers["192.0.2.3"] = Authority([stale], world.clock)
        world.servers.pop("2001:db8::4")
        error = await failure(world, *wanted, propagation_timeout=seconds(90))

        assert str(error) == (
            "example.test: the TXT records are not visible at every name server after 90 s: "
            "ns2.example.test (192.0.2.2:53): _acme-challenge.example.test: there is no such name yet; "
            "ns3.example.test (192.0.2.3:53): _acme-challenge.example.test: "
            "2 of our 2 values missing, it has 'old\\x1b[31m'; "
            "not waited for: ns4.example.test ([2001:db8::4]:53): no answer within 2 s"
        )
        assert "--propagation-timeout" in error.hint
        assert (world.clock.now() - START).total_seconds() == 90

    async def test_many_names_and_many_servers_still_make_one_line(self) -> None:
        wanted = [proof(f"n{number:02}.example.test") for number in range(50)]
        world = World()
        world.zone("example.test", *(f"192.0.2.{number}" for number in range(1, 11)))
        text = str(await failure(world, *wanted, propagation_timeout=seconds(5)))

        assert "_acme-challenge.n00.example.test: there is no such name yet" in text
        assert text.endswith("; and 6 more")
        assert len(text) < 1000

    async def test_a_server_that_stalls_holds_nobody_longer(self) -> None:
        """No wait beyond what was configured, even in the middle of a question."""
        world = four_servers(proof("example.test"))
        settled = ask_in_memory(world.servers, world.clock)

        async def ask(server: Server, question: Question) -> dns.message.Message:
            if server.address == "192.0.2.1":
                await world.clock.sleep_until(world.clock.now() + seconds(3600))
            return await settled(server, question)

        settings = world.authorities(propagation_timeout=seconds(10)).settings
        authorities = Authorities(settings, world.clock, ask=settled)
        await authorities.servers_of("example.test")
        authorities.ask = ask
        wanted = frozenset({proof("example.test")})
        with pytest.raises(DnsError, match=r"192\.0\.2\.1:53\): no answer yet$"):
            await wait_until_visible(wanted, authorities, world.clock, random.Random(1))
        assert (world.clock.now() - START).total_seconds() == 10

    async def test_answers_that_keep_changing_are_told(self) -> None:
        world = four_servers(proof("example.test"))
        nodes = [Authority(world.zones, world.clock), Authority(world.zones, world.clock, lag=seconds(3600))]
        world.servers["192.0.2.2"] = Anycast(*nodes)
        text = str(await failure(world, proof("example.test"), propagation_timeout=seconds(60)))

        assert "there is no such name yet" in text or "answers keep changing" in text


async def test_whoever_watches_is_told_who_does_not_agree_yet() -> None:
    world = four_servers(proof("example.test"))
    world.add_authority("192.0.2.3", lag=20)
    told: list[tuple[str, ...]] = []
    wanted = frozenset({proof("example.test")})
    await wait_until_visible(
        wanted, world.authorities(), world.clock, random.Random(1), watcher=lambda texts: told.append(tuple(texts))
    )

    assert ("ns3.example.test (192.0.2.3:53): _acme-challenge.example.test: there is no such name yet",) in told
    assert told[-1] == ()


async def test_nothing_wanted_is_visible_at_once() -> None:
    assert await wait(four_servers()) == (Visible(), 0)


async def test_it_may_be_cancelled_and_leaves_no_task() -> None:
    world = four_servers()
    waiting = asyncio.create_task(wait(world, proof("example.test")))
    await world.clock.sleep_until(START + seconds(3))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("seed", range(100))
async def test_it_never_says_visible_before_every_server_that_has_a_say_shows_all(seed: int) -> None:
    """DN2 to DN4: a false "propagated" costs one of five failed validations an hour."""
    await one_random_world(seed)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_it_never_says_visible_too_early_in_a_thousand_worlds() -> None:
    for seed in range(1000, 2000):
        await one_random_world(seed)


async def one_random_world(seed: int) -> None:
    draw = random.Random(seed)
    world = World(VirtualClock())
    wanted = [proof(f"n{draw.randrange(3)}.example.test", f"{number:043}") for number in range(draw.randint(1, 5))]
    zone = world.zone("example.test", *ADDRESSES[: draw.randint(1, 4)])
    for each in wanted:
        zone.publish(each.name, each.value, START + seconds(draw.choice([0, 0, 5, 30])))
    addresses = [address for address in world.servers if address in ADDRESSES]
    for address in addresses:
        mood = draw.choice([Mood.HONEST] * 5 + [Mood.SILENT, Mood.REFUSED])
        lag = draw.choice([0, 0, 1, draw.uniform(0, 400)])
        present = world.add_authority(address, lag=lag, mood=mood)
        if draw.random() < 0.2:
            other = Authority([zone], world.clock, lag=seconds(draw.uniform(0, 400)), mood=mood)
            world.servers[address] = Anycast(present, other)
    nodes = [node for address in addresses for node in _nodes(world.servers[address])]
    honest = [node for node in nodes if node.mood is Mood.HONEST]
    try:
        await wait(world, *wanted, seed=seed, propagation_timeout=seconds(500))
    except DnsError:
        assert not honest
    else:
        assert honest
        missing = [node for node in honest for each in wanted if not node.shows(each.name, each.value)]
        assert not missing, f"seed {seed}"


def _nodes(responder: object) -> tuple[Authority, ...]:
    match responder:
        case Anycast():
            return responder.nodes
        case Authority():
            return (responder,)
    raise AssertionError(responder)
