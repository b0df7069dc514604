"""Answers out of hostile octets: bounded before they are parsed, and never more than one kind of error (DN12, FZ5)."""

import struct

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.dns.reading import MOST_RECORDS, MOST_WITH_NAMES, Malformed, read_answer

A, NS, CNAME, SOA, PTR, TXT, RRSIG, OPT, HIP, TSIG = 1, 2, 5, 6, 12, 16, 46, 41, 55, 250
POINTER = b"\xc0\x0c"  # to the question's name
DEEPEST = dns.name.Name([b"a"] * 126 + [b""])  # what takes a parser longest
QUERY = dns.message.make_query("_acme-challenge.example.test", "TXT", use_edns=0, id=0x1234)


def honest(query: dns.message.Message = QUERY, *records: str) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA
    for record in records or ('TXT "one"', 'TXT "two" "halves"'):
        kind, text = record.split(maxsplit=1)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", kind, text))
    return reply


def message(
    *records: tuple[int, bytes], count: int = 1, section: int = 0, name: dns.name.Name = DEEPEST
) -> tuple[bytes, dns.message.Message]:
    """*count* times the records (type, data) in one section, all of them with the question's name."""
    query = dns.message.make_query(name, "TXT", id=0x1234)
    counts = [0, 0, 0]
    counts[section] = count * len(records)
    data = b"".join(POINTER + struct.pack("!HHIH", kind, 1, 60, len(rdata)) + rdata for kind, rdata in records)
    return struct.pack("!6H", query.id, 0x8400, 1, *counts) + query.to_wire()[12:] + data * count, query


def test_what_is_asked_for_is_read_with_all_its_values() -> None:
    reply = read_answer(honest().to_wire(), QUERY)

    assert reply is not None
    assert {b"".join(rdata.strings) for rrset in reply.answer for rdata in rrset} == {b"one", b"twohalves"}


@pytest.mark.parametrize(
    ("kind", "data", "section"),
    [
        (RRSIG, bytes(18) + POINTER, 0),
        (PTR, POINTER, 0),
        (HIP, b"\x01\x01\x00\x01kk" + POINTER * 20_000, 0),
        (NS, POINTER, 2),
        (A, b"\x7f\x00\x00\x01", 2),
        (SOA, b"\x00", 2),
        (TSIG, b"\x00", 2),
        (65400, b"whatever", 1),
    ],
    ids=["rrsig", "ptr", "hip-with-20000-names", "ns-below", "glue", "broken-soa-below", "tsig", "private"],
)
def test_records_that_are_not_looked_at_stay_opaque(kind: int, data: bytes, section: int) -> None:
    """Their data may hold thousands of names, each of which takes as long as a record."""
    wire, query = message((kind, data), section=section)
    reply = read_answer(wire, query)

    assert reply is not None
    sections = (reply.answer, reply.authority, reply.additional)
    assert [rrset.rdtype for rrset in sections[section]] == [65280]


@pytest.mark.parametrize(
    ("wire", "query"),
    [
        message((TXT, b"\x00"), count=MOST_RECORDS + 1),
        message((PTR, POINTER), count=MOST_RECORDS + 1, section=2),
        message((CNAME, POINTER), count=MOST_WITH_NAMES + 1),
        message((NS, POINTER), count=MOST_WITH_NAMES + 1, section=1),
        message((OPT, bytes([0, 18, 0, 2]) + POINTER), count=1, section=2, name=dns.name.from_text("a.test")),
        message((OPT, bytes(513)), section=2),
    ],
    ids=["txt", "additional", "cname", "ns", "opt-not-at-the-root", "options"],
)
def test_more_than_an_honest_answer_has_is_malformed(wire: bytes, query: dns.message.Message) -> None:
    with pytest.raises(Malformed):
        read_answer(wire, query)


def test_sixty_four_kibibytes_of_values_are_read() -> None:
    """DN12: leftovers of years, or an attacker's; ours may be among them."""
    values = [f'"{number:043}"' for number in range(1100)]
    reply = dns.message.make_response(QUERY)
    reply.answer.append(dns.rrset.from_text_list(QUERY.question[0].name, 60, "IN", "TXT", values))
    wire = reply.to_wire(max_size=65535)
    read = read_answer(wire, QUERY)

    assert len(wire) > 60_000
    assert read is not None
    assert len(read.answer[0]) == 1100


def test_the_records_of_an_answer_that_was_cut_off_are_ignored() -> None:
    reply = honest()
    reply.flags |= dns.flags.TC
    read = read_answer(reply.to_wire()[:-7], QUERY)

    assert read is not None
    assert read.flags & dns.flags.TC
    assert not read.answer


def wrong_id(reply: dns.message.Message) -> None:
    reply.id ^= 1


def wrong_name(reply: dns.message.Message) -> None:
    reply.question = dns.message.make_query("other.test", "TXT").question


def wrong_type(reply: dns.message.Message) -> None:
    reply.question = dns.message.make_query("_acme-challenge.example.test", "A").question


def no_response(reply: dns.message.Message) -> None:
    reply.flags &= ~dns.flags.QR


def no_question(reply: dns.message.Message) -> None:
    reply.question = []


def two_questions(reply: dns.message.Message) -> None:
    reply.question = [*reply.question, *dns.message.make_query("other.test", "TXT").question]


def update(reply: dns.message.Message) -> None:
    reply.set_opcode(dns.opcode.NOTIFY)


@pytest.mark.parametrize(
    "spoil",
    [wrong_id, wrong_name, wrong_type, no_response, no_question, two_questions, update],
    ids=lambda f: f.__name__,
)
def test_what_does_not_fit_the_question_is_no_answer(spoil: object) -> None:
    reply = honest()
    assert callable(spoil)
    spoil(reply)

    assert read_answer(reply.to_wire(), QUERY) is None


def test_a_refusal_may_leave_out_the_question() -> None:
    """BIND and others do so where they could not read it."""
    reply = honest()
    reply.answer, reply.question = [], []
    reply.set_rcode(dns.rcode.REFUSED)
    read = read_answer(reply.to_wire(), QUERY)

    assert read is not None
    assert read.rcode() == dns.rcode.REFUSED


def test_an_extended_rcode_is_read() -> None:
    reply = honest()
    reply.set_rcode(dns.rcode.BADVERS)
    read = read_answer(reply.to_wire(), QUERY)

    assert read is not None
    assert read.rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", QUERY.to_wire()[:11], bytes(12), b"\xff" * 600, honest().to_wire() + b"trailing",
     struct.pack("!6H", QUERY.id, 0x8400, 1, 0, 0, 0) + b"\xc0\x0c\x00\x10\x00\x01",
     struct.pack("!6H", QUERY.id, 0x8400, 1, 9, 0, 0) + QUERY.to_wire()[12:-11],
     struct.pack("!6H", QUERY.id, 0x8400, 1, 1, 0, 0) + QUERY.to_wire()[12:-11] + b"\x80"],
)  # fmt: skip
def test_garbage_is_malformed_or_no_answer(data: bytes) -> None:
    try:
        assert read_answer(data, QUERY) is None
    except Malformed as garbage:
        assert str(garbage)  # noqa: PT017 - either is fine


BASIS = honest(
    QUERY, 'TXT "one" "and"', 'TXT "two"', "CNAME other.example.test.", "SOA a.test. b.test. 1 2 3 4 5"
).to_wire()


@given(
    st.lists(st.tuples(st.integers(2, len(BASIS) - 1), st.integers(0, 255)), max_size=12), st.integers(0, len(BASIS))
)
def test_octets_changed_anywhere_raise_nothing_else(changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(BASIS)
    for place, octet in changes:
        data[place] = octet
    for wire in (bytes(data), bytes(data[:end])):
        try:
            read_answer(wire, QUERY)
        except Malformed as garbage:
            assert str(garbage)  # noqa: PT017


@given(st.binary(max_size=200))
def test_any_octets_behind_our_id_and_question_raise_nothing_else(tail: bytes) -> None:
    counts = struct.pack("!4H", 1, 3, 2, 1)
    try:
        read_answer(struct.pack("!2H", QUERY.id, 0x8400) + counts + QUERY.to_wire()[12:-11] + tail, QUERY)
    except Malformed as garbage:
        assert str(garbage)  # noqa: PT017
