"""The stub resolver: which servers it asks, in which order, and what it makes of their answers."""

from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from certd.dns.ask import Question
from certd.dns.errors import DnsError, Unanswered
from certd.dns.resolve import Resolver, shown, system_resolvers
from certd.dns.settings import Server

HOST = dns.name.from_text("ns1.example.test")
Answers = dict[tuple[str, str], list[str] | str]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 192.0.2.1\n", ["192.0.2.1"]),
        ("# nameserver 192.0.2.9\n;nameserver 192.0.2.9\nnameserver\t192.0.2.1 # ours\n", ["192.0.2.1"]),
        ("nameserver 2001:db8::1\nnameserver fe80::1%eth0\n", ["2001:db8::1", "fe80::1%eth0"]),
        ("nameserver 192.0.2.1\n" * 2 + "nameserver 192.0.2.2\n" * 2, ["192.0.2.1", "192.0.2.1", "192.0.2.2"]),
        ("nameserver ns1.example.test\nnameserver\nsearch example.test\noptions edns0\n", ["127.0.0.1"]),
        ("", ["127.0.0.1"]),
        ("\xff\x00nameserver 192.0.2.9", ["127.0.0.1"]),
        ("x" * 70_000 + "\nnameserver 192.0.2.9\n", ["127.0.0.1"]),
    ],
    ids=["one", "comments", "ipv6", "at-most-three", "no-address", "empty", "no-text", "too-long"],
)  # fmt: skip
def test_resolv_conf_is_read_as_its_manual_page_says(text: str, found: list[str], tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_bytes(text.encode("latin-1"))

    assert [server.address for server in system_resolvers(path)] == found


@pytest.mark.parametrize("place", ["missing", "."])
def test_without_a_readable_resolv_conf_the_local_host_is_asked(place: str, tmp_path: Path) -> None:
    assert system_resolvers(tmp_path / place) == (Server("127.0.0.1"),)


def resolver(answers: Answers, *servers: str) -> tuple[Resolver, list[str]]:
    """Who answers what: (server, type) → texts of records, or an rcode's name; who is not in it stays silent."""
    asked: list[str] = []

    async def ask(server: Server, question: Question) -> dns.message.Message:
        asked.append(server.address)
        assert question.recursive
        answer = answers.get((server.address, question.type.name))
        if answer is None:
            raise Unanswered("no answer within 2 s")
        reply = dns.message.make_response(dns.message.make_query(question.name, question.type))
        if isinstance(answer, str):
            reply.set_rcode(dns.rcode.from_text(answer))
        else:
            reply.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", question.type, answer))
        return reply

    return Resolver([Server(address) for address in servers], ask), asked


async def test_the_servers_are_asked_in_their_order_until_one_answers() -> None:
    answers: Answers = {("192.0.2.2", "A"): "SERVFAIL", ("192.0.2.3", "A"): ["198.51.100.1"]}
    asking, asked = resolver(answers, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
    reply = await asking.lookup(HOST, dns.rdatatype.A)

    assert reply.answer
    assert asked == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


async def test_that_a_name_does_not_exist_is_an_answer() -> None:
    asking, _ = resolver({("192.0.2.1", "A"): "NXDOMAIN"}, "192.0.2.1")

    assert (await asking.lookup(HOST, dns.rdatatype.A)).rcode() == dns.rcode.NXDOMAIN


async def test_when_nobody_answers_the_error_says_what_each_one_did_and_which_option_helps() -> None:
    asking, asked = resolver({("192.0.2.2", "SOA"): "REFUSED"}, "192.0.2.1", "192.0.2.2")
    with pytest.raises(DnsError) as caught:
        await asking.lookup(HOST, dns.rdatatype.SOA)

    assert str(caught.value) == (
        "ns1.example.test: looking up SOA failed: 192.0.2.1:53: no answer within 2 s; 192.0.2.2:53: REFUSED"
    )
    assert caught.value.retry
    assert caught.value.hint == "name a resolver that answers: --dns-resolver ADDR[:PORT]"
    assert asked == ["192.0.2.1", "192.0.2.2"] * 2


@pytest.mark.parametrize(
    ("answers", "addresses"),
    [
        ({"A": ["198.51.100.1"], "AAAA": ["2001:db8::1"]}, ("198.51.100.1", "2001:db8::1")),
        ({"A": ["198.51.100.1"], "AAAA": "SERVFAIL"}, ("198.51.100.1",)),
        ({"AAAA": ["2001:db8::1"]}, ("2001:db8::1",)),
        ({"A": "NXDOMAIN", "AAAA": "NXDOMAIN"}, ()),
        ({}, ()),
        ({"A": [f"198.51.100.{n}" for n in range(50)], "AAAA": "NXDOMAIN"}, tuple(f"198.51.100.{n}" for n in range(8))),
    ],
    ids=["both", "one-fails", "one-silent", "neither-exists", "silent", "fifty"],
)
async def test_a_host_has_the_addresses_of_whichever_family_is_told(
    answers: dict[str, list[str] | str], addresses: tuple[str, ...]
) -> None:
    asking, _ = resolver({("192.0.2.1", kind): answer for kind, answer in answers.items()}, "192.0.2.1")

    assert await asking.addresses(HOST) == addresses


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (dns.name.from_text("Example.TEST."), "example.test"),
        (dns.name.root, "."),
        (dns.name.Name([b"a\x1b[31m\n", b"b.c", b""]), r"a\027[31m\010.b\.c"),
    ],
    ids=["case", "root", "hostile"],
)
def test_a_name_is_shown_as_people_write_it_and_escaped(name: dns.name.Name, text: str) -> None:
    """Names come from CNAME and NS records of strangers, and go to terminals and logs."""
    assert shown(name) == text
