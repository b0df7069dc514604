"""dns-01 (RFC 8555 §8.4): a real TXT question to the resolver of the options, by UDP, and by TCP where that is cut off.

The resolver follows CNAMEs; there is none by default, because no resolver knows names under .test.
"""

import hashlib

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from certd.devca import base64url
from certd.devca.options import Options, loopback
from certd.devca.places import source_for
from certd.devca.problems import refused
from certd.devca.records import Identifier

LABEL = "_acme-challenge."
TRIES = 2


async def look_by_dns(options: Options, identifier: Identifier, token: str, expected: str, source: str) -> None:
    """Look for the proof from *source*. Raises Refused with `dns` or `unauthorized`."""
    del token
    name = LABEL + identifier.base
    wanted = base64url.encode(hashlib.sha256(expected.encode()).digest())
    found = await _txt(options, name, source)
    if wanted in found:
        return
    if not found:
        raise refused("unauthorized", f"No TXT record found at {name}")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise refused("unauthorized", f"Incorrect TXT record {found[0]!r}{more} found at {name}")


async def _txt(options: Options, name: str, source: str) -> list[str]:
    reply = await _asked(options, name, source)
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise refused("dns", f"DNS problem: {dns.rcode.to_text(reply.rcode())} looking up TXT for {name}")
    try:
        answer = reply.resolve_chaining().answer if isinstance(reply, dns.message.QueryMessage) else None
    except dns.exception.DNSException as error:
        raise refused("dns", f"DNS problem: looking up TXT for {name}: {_said(error)}") from None
    if answer is None and reply.rcode() == dns.rcode.NXDOMAIN:
        raise refused("dns", f"DNS problem: NXDOMAIN looking up TXT for {name} - check that a DNS record exists")
    return [b"".join(each.strings).decode("utf-8", "replace") for each in answer or ()]


async def _asked(options: Options, name: str, source: str) -> dns.message.Message:
    if options.resolver is None:
        raise refused("dns", f"DNS problem: looking up TXT for {name}: devca was started without a resolver")
    address, port = options.resolver
    bound = source_for(address, source)
    # A resolver beyond loopback cannot answer to a loopback source.
    local = bound[0] if bound is not None and loopback(address) else None
    question = dns.message.make_query(name, dns.rdatatype.TXT, use_edns=0, payload=1232)
    limit = options.validation_limit.total_seconds() / TRIES
    failure: Exception | None = None
    for _ in range(TRIES):
        try:
            reply, _by_tcp = await dns.asyncquery.udp_with_fallback(question, address, limit, port, source=local)
        except (dns.exception.DNSException, OSError, EOFError) as error:
            failure = error
        else:
            return reply
    raise refused("dns", f"DNS problem: looking up TXT for {name}: {_said(failure)}")


def _said(error: BaseException | None) -> str:
    return "query timed out" if isinstance(error, dns.exception.Timeout) else str(error) or type(error).__name__
