"""One question over real sockets on loopback: truncation, forgery, garbage, silence (DN12)."""

import asyncio
import socket
from collections.abc import Sequence
from datetime import timedelta

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from certd.dns.ask import Question, Wire, first_usable
from certd.dns.errors import Unanswered
from certd.dns.settings import Server
from certd.model.clock import SystemClock
from tests.fakes.clock import START, ManualClock
from tests.fakes.dns_server import Authority, Mood, Zone, serve

NAME = "_acme-challenge.example.test"
QUESTION = Question(dns.name.from_text(NAME), dns.rdatatype.TXT)
PATIENCE = timedelta(seconds=5)
HASTE = timedelta(milliseconds=300)


def authority(mood: Mood = Mood.HONEST, values: int = 1) -> Authority:
    zone = Zone("example.test")
    for number in range(values):
        zone.publish(NAME, f"{number:043}", START)
    return Authority([zone], ManualClock(), mood=mood)


def values_in(reply: dns.message.Message) -> set[str]:
    return {b"".join(rdata.strings).decode() for rrset in reply.answer for rdata in rrset}


async def test_an_answer_that_fits_comes_by_udp() -> None:
    async with serve(honest := authority()) as server:
        reply = await Wire(SystemClock(), PATIENCE)(server, QUESTION)

    assert values_in(reply) == {f"{0:043}"}
    assert honest.over_tcp == 0


async def test_an_answer_that_was_cut_off_is_asked_for_again_over_tcp() -> None:
    """64 KiB of TXT values, as an apex with many wildcards, or an attacker, may have."""
    async with serve(cut_off := authority(Mood.CUT_OFF, values=1000)) as server:
        reply = await Wire(SystemClock(), PATIENCE)(server, QUESTION)

    assert len(values_in(reply)) == 1000
    assert cut_off.over_tcp == 1


async def test_a_server_that_does_not_know_edns_is_asked_plainly() -> None:
    async with serve(old := authority(Mood.NO_EDNS)) as server:
        reply = await Wire(SystemClock(), PATIENCE)(server, QUESTION)

    assert values_in(reply) == {f"{0:043}"}
    assert len(old.asked) == 2


@pytest.mark.parametrize("mood", [Mood.WRONG_ID, Mood.WRONG_QUESTION, Mood.GARBAGE, Mood.COMPRESSION_LOOP, Mood.SILENT])
async def test_what_is_no_answer_to_the_question_is_not_believed(mood: Mood) -> None:
    async with serve(authority(mood)) as server:
        with pytest.raises(Unanswered, match=r"no answer within 0\.3 s"):
            await Wire(SystemClock(), HASTE)(server, QUESTION)


async def test_a_datagram_from_another_port_is_not_believed() -> None:
    """An off-path forger that knew id and port would still have to forge the address."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger,
    ):
        real.bind(("127.0.0.1", 0))
        real.setblocking(False)
        server = Server("127.0.0.1", real.getsockname()[1])
        asking = asyncio.create_task(Wire(SystemClock(), PATIENCE)(server, QUESTION))
        data, asker = await asyncio.get_running_loop().sock_recvfrom(real, 4096)
        query = dns.message.from_wire(data)
        forged = dns.message.make_response(query)
        forged.set_rcode(dns.rcode.NXDOMAIN)
        forger.sendto(forged.to_wire(), asker)
        real.sendto(dns.message.make_response(query).to_wire(), asker)

        assert (await asking).rcode() == dns.rcode.NOERROR


async def answered_by(*replies: bytes | None) -> dns.message.Message:
    """Ask a server that sends these datagrams, None for the true answer, with our id in the first two octets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        asking = asyncio.create_task(
            Wire(SystemClock(), PATIENCE)(Server("127.0.0.1", sock.getsockname()[1]), QUESTION)
        )
        data, asker = await asyncio.get_running_loop().sock_recvfrom(sock, 4096)
        true = dns.message.make_response(dns.message.from_wire(data)).to_wire()
        for reply in replies:
            sock.sendto(true if reply is None else data[:2] + reply, asker)
        return await asking


async def test_garbage_before_the_answer_does_not_keep_it_from_being_seen() -> None:
    assert (await answered_by(b"\x84\x00" + b"\xff" * 90, b"", None)).rcode() == dns.rcode.NOERROR


async def test_a_server_that_sends_nothing_but_garbage_is_given_up() -> None:
    """Each datagram costs time to read: without a bound a server could keep us busy as long as it likes."""
    with pytest.raises(Unanswered, match="16 datagrams, and none answers the question"):
        await answered_by(*[b"\x84\x00" + b"\xff" * 90] * 20)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", r"malformed answer \(shorter than a header\)"),
        (b"\xff" * 40, "no whole answer to the question over TCP"),
        (dns.message.make_response(dns.message.make_query("a.test", "TXT")).to_wire(), "no whole answer"),
    ],
    ids=["empty", "garbage", "another"],
)
async def test_what_comes_over_tcp_is_not_believed_either(answer: bytes, says: str) -> None:
    class Odd(Authority):
        def respond(self, query: dns.message.Message, *, tcp: bool) -> Sequence[bytes]:
            return [answer] if tcp else super().respond(query, tcp=tcp)

    async with serve(Odd([Zone("example.test")], ManualClock(), mood=Mood.CUT_OFF)) as server:
        with pytest.raises(Unanswered, match=says):
            await Wire(SystemClock(), PATIENCE)(server, QUESTION)


async def test_a_tcp_connection_that_is_closed_without_a_word_is_told() -> None:
    class Closing(Authority):
        def respond(self, query: dns.message.Message, *, tcp: bool) -> Sequence[bytes]:
            if tcp:
                raise ConnectionError
            return super().respond(query, tcp=tcp)

    async with serve(Closing([Zone("example.test")], ManualClock(), mood=Mood.CUT_OFF)) as server:
        with pytest.raises(Unanswered, match=r"closed the TCP connection without an answer|reset"):
            await Wire(SystemClock(), PATIENCE)(server, QUESTION)


async def test_ids_and_ports_differ_from_question_to_question() -> None:
    seen: set[tuple[int, int]] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        server = Server("127.0.0.1", sock.getsockname()[1])
        for _ in range(20):
            asking = asyncio.create_task(Wire(SystemClock(), PATIENCE)(server, QUESTION))
            data, asker = await asyncio.get_running_loop().sock_recvfrom(sock, 4096)
            query = dns.message.from_wire(data)
            seen.add((query.id, asker[1]))
            sock.sendto(dns.message.make_response(query).to_wire(), asker)
            await asking

    assert len({id_ for id_, _ in seen}) > 15
    assert len({port for _, port in seen}) > 15


async def test_a_closed_port_is_told_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(Unanswered, match="refused"):
        await Wire(ManualClock(), PATIENCE)(Server("127.0.0.1", port), QUESTION)


async def test_the_time_limit_is_on_the_injected_clock() -> None:
    clock = ManualClock()
    async with serve(silent := authority(Mood.SILENT)) as server:
        asking = asyncio.create_task(Wire(clock, timedelta(hours=1))(server, QUESTION))
        while not silent.asked:  # noqa: ASYNC110 - a server's record has no event
            await asyncio.sleep(0.01)
        await clock.advance(timedelta(hours=1))
        with pytest.raises(Unanswered, match="no answer within 3600 s"):
            await asking


async def test_only_questions_to_resolvers_ask_for_recursion() -> None:
    """An authoritative server shall not go and ask others, nor refuse us because we asked it to."""
    flags: list[int] = []

    class Noting(Authority):
        def respond(self, query: dns.message.Message, *, tcp: bool) -> Sequence[bytes]:
            flags.append(query.flags & dns.flags.RD)
            return super().respond(query, tcp=tcp)

    async with serve(Noting([Zone("example.test")], ManualClock())) as server:
        wire = Wire(SystemClock(), PATIENCE)
        await wire(server, QUESTION)
        await wire(server, Question(QUESTION.name, QUESTION.type, recursive=True))

    assert flags == [0, dns.flags.RD]


async def test_the_first_server_without_objection_answers_and_failures_name_each_server() -> None:
    answers = {"192.0.2.1": dns.rcode.SERVFAIL, "192.0.2.3": dns.rcode.NOERROR}

    async def ask(server: Server, question: Question) -> dns.message.Message:
        if server.address not in answers:
            raise Unanswered("no answer within 2 s")
        reply = dns.message.make_response(dns.message.make_query(question.name, question.type))
        reply.set_rcode(answers[server.address])
        return reply

    def objection(reply: dns.message.Message) -> str | None:
        return None if reply.rcode() == dns.rcode.NOERROR else "SERVFAIL"

    servers = [Server("192.0.2.1"), Server("192.0.2.2"), Server("192.0.2.3")]
    assert (await first_usable(servers, QUESTION, ask, objection)).rcode() == dns.rcode.NOERROR
    with pytest.raises(Unanswered) as caught:
        await first_usable(servers[:2], QUESTION, ask, objection)
    assert str(caught.value) == "192.0.2.1:53: SERVFAIL; 192.0.2.2:53: no answer within 2 s"
