"""Where a proof belongs: CNAMEs, zone cuts and name servers of every shape (DN7, DN8, I42)."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import timedelta

import dns.message
import dns.rrset
import pytest

from certd.dns.ask import Question
from certd.dns.authorities import Authorities, Located
from certd.dns.errors import DnsError
from certd.dns.settings import Server, parse_dns_settings
from tests.fakes.clock import ManualClock
from tests.fakes.dns_server import Mood, Zone
from tests.unit.dns.world import RESOLVER, World

CHALLENGE = "_acme-challenge.example.test"


def two_zones() -> World:
    world = World()
    world.zone("example.test", "192.0.2.1", "192.0.2.2")
    world.zone("validation.test", "192.0.2.9")
    return world


@pytest.mark.parametrize(
    "base", ["example.test", "www.example.test", "a.b.c.example.test", "EXAMPLE.test", f"{'l' * 63}.example.test"]
)
async def test_a_name_lies_in_the_nearest_zone_above(base: str) -> None:
    located = await two_zones().authorities().locate(base)

    assert located == Located(f"_acme-challenge.{base.lower()}", "example.test")


async def test_a_child_zone_is_found_whoever_serves_it() -> None:
    """The resolver shows the cut; a server of both zones would answer for either."""
    world = two_zones()
    world.zone("elsewhere.example.test", "192.0.2.7")
    world.zone("here.example.test", "192.0.2.1")

    assert (await world.authorities().locate("elsewhere.example.test")).zone == "elsewhere.example.test"
    assert (await world.authorities().locate("www.here.example.test")).zone == "here.example.test"


async def test_the_zone_of_an_idn_is_found_by_its_a_label() -> None:
    world = World()
    world.zone("xn--mnchen-3ya.test", "192.0.2.1")

    assert (await world.authorities().locate("www.xn--mnchen-3ya.test")).zone == "xn--mnchen-3ya.test"


async def test_an_alias_says_nothing_of_the_zone_it_stands_in() -> None:
    """The SOA record beside an alias is the target's: here that of a zone above, while the alias is below a cut."""
    world = two_zones()
    world.zones[0].records["child", "NS"] = ["ns1.child.example.test."]
    world.zone("child.example.test", "192.0.2.7", www__CNAME=["example.test."])

    assert (await world.authorities().locate("www.child.example.test")).zone == "child.example.test"


async def test_a_cname_leads_to_another_zone() -> None:
    """The advice for least privilege: the key for `validation.test` can change nothing else."""
    world = two_zones()
    world.zones[0].records["_acme-challenge", "CNAME"] = ["Example.VALIDATION.test."]

    assert await world.authorities().locate("example.test") == Located(
        "example.validation.test", "validation.test", via=(CHALLENGE,)
    )


async def test_a_wildcard_cname_is_followed_as_the_ca_follows_it() -> None:
    world = two_zones()
    world.zones[0].records["*", "CNAME"] = ["all.validation.test."]

    assert (await world.authorities().locate("example.test")).name == "all.validation.test"


async def test_a_wildcard_txt_above_is_no_alias() -> None:
    world = two_zones()
    world.zones[0].records["*", "TXT"] = ["v=spf1"]

    assert await world.authorities().locate("example.test") == Located(CHALLENGE, "example.test")


def chain(links: int) -> World:
    world = two_zones()
    names = ["_acme-challenge", *(f"hop{number}" for number in range(links))]
    for source, target in itertools.pairwise(names):
        world.zones[0].records[source, "CNAME"] = [f"{target.upper()}.example.test."]
    return world


async def test_a_chain_of_eight_cnames_is_followed() -> None:
    located = await chain(8).authorities().locate("example.test")

    assert located.name == "hop7.example.test"
    assert len(located.via) == 8


async def test_a_chain_of_nine_is_not() -> None:
    with pytest.raises(DnsError, match="more than 8 CNAME records in a row: _acme-challenge") as caught:
        await chain(9).authorities().locate("example.test")
    assert not caught.value.retry


@pytest.mark.parametrize("back_to", ["_acme-challenge", "_ACME-Challenge", "hop0", "hop3"])
async def test_cnames_in_a_circle_end(back_to: str) -> None:
    world = chain(4)
    world.zones[0].records["hop3", "CNAME"] = [f"{back_to}.example.test."]
    with pytest.raises(DnsError, match=r"run in a circle: _acme-challenge\.example\.test → hop0") as caught:
        await world.authorities().locate("example.test")
    assert not caught.value.retry
    assert len(world.asked("192.0.2.1")) + len(world.asked("192.0.2.2")) <= 10


async def test_a_zone_cut_at_the_challenge_name_itself_is_found() -> None:
    """Its own zone for `_acme-challenge` by NS: no resolver was asked for it, so only the parent's servers tell."""
    world = two_zones()
    world.zones[0].records["_acme-challenge", "NS"] = ["ns1.validation.test."]
    own = Zone(CHALLENGE, {("@", "NS"): ["ns1.validation.test."]})
    world.add_authority("192.0.2.9", own)
    world.zones.append(own)

    assert await world.authorities().locate("example.test") == Located(CHALLENGE, CHALLENGE)


async def test_a_zone_cut_at_the_challenge_name_on_the_same_server_is_found() -> None:
    """There is no referral then: the server answers from the child, and the SOA record beside says so."""
    world = two_zones()
    world.zones[0].records["_acme-challenge", "NS"] = ["ns1.example.test."]
    own = Zone(CHALLENGE, {("@", "NS"): ["ns1.example.test."]})
    for address in ("192.0.2.1", "192.0.2.2"):
        world.add_authority(address, own)
    world.zones.append(own)

    assert await world.authorities().locate("example.test") == Located(CHALLENGE, CHALLENGE)


async def test_the_challenge_name_itself_is_never_asked_at_a_resolver() -> None:
    """DN4: it would remember for an hour that the name does not exist, perhaps the CA's resolver with it."""
    world = two_zones()
    authorities = world.authorities()
    await authorities.locate("example.test")
    await authorities.servers_of("example.test")

    assert not [name for name, _ in world.asked(RESOLVER) if "_acme-challenge" in name]


@pytest.mark.parametrize("mood", [Mood.SILENT, Mood.SERVFAIL, Mood.REFUSED, Mood.LAME])
async def test_one_server_that_does_not_do_is_passed_over(mood: Mood) -> None:
    world = two_zones()
    world.add_authority("192.0.2.1", mood=mood)

    assert (await world.authorities().locate("example.test")).zone == "example.test"


async def test_when_none_does_the_error_says_what_each_one_did() -> None:
    world = two_zones()
    world.add_authority("192.0.2.1", mood=Mood.LAME)
    world.add_authority("192.0.2.2", mood=Mood.SILENT)
    with pytest.raises(DnsError) as caught:
        await world.authorities().locate("example.test")

    text = str(caught.value)
    assert text.startswith("_acme-challenge.example.test: no name server of example.test answered: ")
    assert "ns1.example.test (192.0.2.1:53): it does not serve the zone" in text
    assert "ns2.example.test (192.0.2.2:53): no answer within 2 s" in text
    assert caught.value.retry
    assert "--dns-server example.test=ADDR:PORT" in caught.value.hint


async def test_a_dead_resolver_is_an_error_with_the_option_that_helps() -> None:
    world = two_zones()
    world.servers.pop(RESOLVER)
    with pytest.raises(DnsError, match=r"looking up SOA failed: 192\.0\.2\.53:53: no answer") as caught:
        await world.authorities().locate("example.test")

    assert caught.value.retry
    assert "--dns-resolver" in caught.value.hint


async def test_a_resolver_that_knows_of_no_zone_is_told() -> None:
    """Of a container or a laboratory: it answers for some names, and for nothing above them."""

    async def ask(server: Server, question: Question) -> dns.message.Message:
        return dns.message.make_response(dns.message.make_query(question.name, question.type))

    authorities = Authorities(parse_dns_settings(resolvers=[RESOLVER]), ManualClock(), ask=ask)
    with pytest.raises(DnsError, match=r"^example\.test: its zone was not found: the resolver knows no SOA") as caught:
        await authorities.locate("example.test")

    assert caught.value.retry
    assert "--dns-resolver" in caught.value.hint
    assert "--dns-server" in caught.value.hint


async def test_the_second_resolver_answers_where_the_first_is_dead() -> None:
    authorities = two_zones().authorities(resolvers=(Server("192.0.2.66"), Server(RESOLVER)))

    assert (await authorities.locate("example.test")).zone == "example.test"


async def test_a_search_that_leads_on_and_on_ends() -> None:
    clock = ManualClock()

    async def never(server: Server, question: Question) -> dns.message.Message:
        await clock.sleep_until(clock.now() + timedelta(days=1))
        raise AssertionError

    settings = parse_dns_settings(resolvers=[RESOLVER])
    searching = asyncio.create_task(Authorities(settings, clock, ask=never).locate("example.test"))
    await asyncio.sleep(0)
    await clock.advance(timedelta(seconds=30))
    with pytest.raises(DnsError, match="its zone was not found within 30 s") as caught:
        await searching
    assert caught.value.retry


class Digger:
    """Name server and resolver in one, which points one label further down each time it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self._depth = 2

    def respond(self, query: dns.message.Message, *, tcp: bool) -> Sequence[bytes]:
        (question,) = query.question
        self.asked.append((question.name.to_text(), question.rdtype.name))
        reply = dns.message.make_response(query)
        match question.rdtype.name:
            case "NS":
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "NS", "ns1.example.test."))
            case "A":
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", "192.0.2.1"))
            case "CNAME":
                self._depth += 1
                cut = question.name.split(self._depth + 1)[1]
                reply.authority.append(dns.rrset.from_text(cut, 60, "IN", "NS", "ns1.example.test."))
        return [reply.to_wire()]


async def test_a_server_that_keeps_delegating_ends() -> None:
    """A hostile one can point to one more zone below for every label of the name."""
    world = two_zones()
    world.servers[RESOLVER] = world.servers["192.0.2.1"] = digger = Digger()
    authorities = world.authorities(servers=(("example.test", Server("192.0.2.1")),))
    with pytest.raises(DnsError, match="more than 8 delegations to follow") as caught:
        await authorities.locate("a.b.c.d.e.f.g.h.i.j.k.l.example.test")

    assert not caught.value.retry
    assert len([kind for _, kind in digger.asked if kind == "CNAME"]) == 9


async def test_a_domain_that_does_not_exist_is_told_before_the_root_servers_are_asked() -> None:
    world = two_zones()
    root = {("@", "SOA"): ["a.root. b.root. 1 2 3 4 5"], ("@", "NS"): ["ns1.example.test."]}
    world.zones.append(Zone(".", root))
    with pytest.raises(DnsError, match="public DNS does not know its domain") as caught:
        await world.authorities().locate("www.example.nowhere")

    assert not caught.value.retry
    assert not world.asked("192.0.2.1")


@pytest.mark.parametrize("base", ["a" * 64 + ".test", ".".join(["a" * 50] * 5), "a..test"])
async def test_a_name_that_dns_cannot_have_is_refused_without_a_question(base: str) -> None:
    world = two_zones()
    with pytest.raises(DnsError, match="cannot be validated by DNS") as caught:
        await world.authorities().locate(base)

    assert not caught.value.retry
    assert not world.asked(RESOLVER)


class TestServersOfAZone:
    async def test_every_address_of_every_name_server_ipv4_first(self) -> None:
        world = World()
        world.zone("example.test", "2001:db8::1", "192.0.2.2", "192.0.2.3")

        servers = await world.authorities().servers_of("example.test")
        assert [server.address for server in servers] == ["192.0.2.2", "192.0.2.3", "2001:db8::1"]
        assert str(servers[2]) == "ns1.example.test ([2001:db8::1]:53)"

    async def test_the_first_question_goes_to_another_one_each_time(self) -> None:
        world = World()
        world.zone("example.test", "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1")
        orders = {tuple(await world.authorities(seed).servers_of("example.test")) for seed in range(20)}

        assert len({order[0] for order in orders}) == 3
        assert {order[-1].address for order in orders} == {"2001:db8::1"}

    async def test_they_are_looked_up_once(self) -> None:
        world = two_zones()
        authorities = world.authorities()
        await asyncio.gather(*(authorities.locate(f"n{number}.example.test") for number in range(20)))
        await authorities.servers_of("example.test")

        assert world.asked(RESOLVER).count(("example.test", "NS")) == 1

    async def test_no_name_servers_and_no_addresses_are_errors(self) -> None:
        world = two_zones()
        world.zones[0].records["@", "NS"] = ["ns.gone.test."]
        with pytest.raises(DnsError, match=r"its name servers \(ns\.gone\.test\) have no addresses"):
            await world.authorities().servers_of("example.test")
        del world.zones[0].records["@", "NS"]
        with pytest.raises(DnsError, match="knows no name servers"):
            await world.authorities().servers_of("example.test")

    async def test_a_zone_with_a_hundred_name_servers_is_not_asked_at_all_of_them(self) -> None:
        world = two_zones()
        world.zones[0].records["@", "NS"] = [f"ns{number:03}.example.test." for number in range(30)]
        for number in range(30):
            world.zones[0].records[f"ns{number:03}", "A"] = [f"198.51.100.{n}" for n in range(10)]

        assert len(await world.authorities().servers_of("example.test")) <= 16 * 8


class TestGivenServers:
    """--dns-server ZONE=ADDR:PORT, for hidden primaries, split horizons and laboratories."""

    async def test_a_given_server_is_asked_and_no_resolver(self) -> None:
        world = two_zones()
        authorities = world.authorities(servers=(("example.test", Server("192.0.2.1")),))

        assert (await authorities.locate("www.example.test")).zone == "example.test"
        assert await authorities.servers_of("example.test") == (Server("192.0.2.1"),)
        assert not world.asked(RESOLVER)

    async def test_what_it_serves_below_is_asked_there_as_well(self) -> None:
        world = two_zones()
        world.servers.pop(RESOLVER)
        world.add_authority("192.0.2.1", Zone("child.example.test"))
        authorities = world.authorities(servers=(("example.test", Server("192.0.2.1")),))

        assert (await authorities.locate("child.example.test")).zone == "child.example.test"
        assert await authorities.servers_of("child.example.test") == (Server("192.0.2.1"),)

    async def test_what_it_delegates_is_asked_where_it_says(self) -> None:
        world = two_zones()
        world.zones[0].records["child", "NS"] = ["ns1.child.example.test."]
        world.zone("child.example.test", "192.0.2.7")
        authorities = world.authorities(servers=(("example.test", Server("192.0.2.1")),))

        assert (await authorities.locate("www.child.example.test")).zone == "child.example.test"
        assert [s.address for s in await authorities.servers_of("child.example.test")] == ["192.0.2.7"]

    async def test_one_for_every_name_needs_no_resolver(self) -> None:
        """A laboratory's, such as pebble-challtestsrv: it knows of no zones and has no authority."""
        world = two_zones()
        world.servers.pop(RESOLVER)
        authorities = world.authorities(servers=((".", Server("192.0.2.1")),))

        assert (await authorities.locate("www.example.test")).zone == "example.test"
        assert await authorities.servers_of("example.test") == (Server("192.0.2.1"),)

    async def test_it_need_not_have_authority(self) -> None:
        world = two_zones()
        servers = (("example.test", Server(RESOLVER)),)

        assert (await world.authorities(servers=servers).locate("www.example.test")).zone == "example.test"

    async def test_a_given_server_that_is_dead_is_named(self) -> None:
        authorities = two_zones().authorities(servers=((".", Server("192.0.2.66", 5353)),))
        with pytest.raises(DnsError, match=r"no name server of \. answered: 192\.0\.2\.66:5353: no answer") as caught:
            await authorities.locate("example.test")
        assert caught.value.hint.startswith("--dns-server names this one; is it up")

    async def test_a_cname_out_of_a_given_zone_is_followed_by_the_resolver(self) -> None:
        world = two_zones()
        world.zones[0].records["_acme-challenge", "CNAME"] = ["example.validation.test."]
        authorities = world.authorities(servers=(("example.test", Server("192.0.2.1")),))

        assert (await authorities.locate("example.test")).zone == "validation.test"
