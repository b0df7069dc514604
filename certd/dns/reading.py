"""An answer out of octets: its bounds are checked before it is parsed.

64 KiB of the longest names take dnspython 17 s, in which nothing else would run; so what certd never looks at (other
types, the additional section) is marked as opaque, and what it does look at is counted first. RFC 1035 §4.1.
"""

import struct

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype

MOST_RECORDS = 1500  # 64 KiB hold some 1,100 proofs
MOST_WITH_NAMES = 64  # NS, CNAME, SOA, and addresses
MOST_OPTIONS = 512  # octets of EDNS options

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")  # type, class, TTL, length of data
_WITH_NAMES = frozenset({dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.NS, dns.rdatatype.CNAME, dns.rdatatype.SOA})
_OPAQUE = 65280  # a type for private use (RFC 6895 §3.1), whose data nobody interprets
_POINTER = 0xC0
_LONGEST_LABEL = 63


class Malformed(Exception):
    """No DNS message, or one that no honest server would send."""


def read_answer(wire: bytes, query: dns.message.Message) -> dns.message.Message | None:
    """The message in *wire*, or None if it is no answer to *query*; raises Malformed.

    One that was cut off (TC) comes without its records: RFC 2181 §9 says to ignore them.
    """
    if len(wire) < _HEADER.size:
        raise Malformed("malformed answer (shorter than a header)")
    try:
        _, _, questions, *_ = _HEADER.unpack_from(wire)
        if questions > 1:
            return None
        head = dns.message.from_wire(wire, question_only=True)
        if not query.is_response(head):
            return None
        if head.flags & dns.flags.TC:
            return head
        return dns.message.from_wire(_tamed(wire))
    except (dns.exception.DNSException, struct.error, IndexError, ValueError) as garbage:
        raise Malformed(f"malformed answer ({type(garbage).__name__})") from garbage


def _tamed(wire: bytes) -> bytes:
    """The same message with the types of all records that are not looked at made opaque; offsets stay as they are."""
    tame = bytearray(wire)
    _, _, questions, answers, authorities, additional = _HEADER.unpack_from(wire)
    if answers + authorities + additional > MOST_RECORDS:
        raise Malformed(f"more than {MOST_RECORDS} records")
    offset, with_names = _HEADER.size, 0
    for _ in range(questions):
        offset = _after_name(wire, offset) + 4
    for number in range(answers + authorities + additional):
        offset = _after_name(wire, offset)
        kind, _, _, length = _RECORD.unpack_from(wire, offset)
        named = kind in _WITH_NAMES and number < answers + authorities
        with_names += named
        if with_names > MOST_WITH_NAMES or (kind == dns.rdatatype.OPT and length > MOST_OPTIONS):
            raise Malformed("more records than an honest answer has")
        if not named and kind not in {dns.rdatatype.TXT, dns.rdatatype.OPT}:
            struct.pack_into("!H", tame, offset, _OPAQUE)
        offset += _RECORD.size + length
    return bytes(tame)


def _after_name(wire: bytes, offset: int) -> int:
    while (length := wire[offset]) and length < _POINTER:
        if length > _LONGEST_LABEL:
            raise Malformed("a label of more than 63 octets")
        offset += 1 + length
    return offset + (2 if length else 1)
