"""Where certd goes: https, the CA's own host and port, the exact URL, and nowhere else."""

import pytest

from certd.ca.origin import LONGEST_URL, Origin, exact, resolve
from certd.model.acme import NewOrder
from certd.model.errors import CaProtocolError, ConfigError
from certd.model.identifiers import parse_identifiers
from tests.unit.ca.conftest import Connect
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import after, changed

CA = Origin("ca.example", 443)
ONE = NewOrder(parse_identifiers(["example.org"]))

ELSEWHERE = {
    "plain http": "http://ca.example/order/1",
    "other host": "https://ca.example.evil.test/order/1",
    "other port": "https://ca.example:8443/order/1",
    "port 0": "https://ca.example:0/order/1",
    "port too large": "https://ca.example:65979/order/1",
    "sub-domain": "https://www.ca.example/order/1",
    "trailing dot": "https://ca.example./order/1",
    "file": "file:///etc/passwd",
    "gopher": "gopher://ca.example/1",
    "userinfo": "https://ca.example@evil.test/order/1",
    "userinfo that looks like the host": "https://ca.example:443@evil.test/",
    "user": "https://root@ca.example/order/1",
    "address": "https://127.0.0.1/order/1",
    "metadata service": "https://169.254.169.254/latest/meta-data",
    "localhost": "https://localhost/order/1",
    "IDN look-alike": "https://c\u0430.example/order/1",
    "backslash": "https://ca.example\\@evil.test/",
    "second backslash": "https://ca.example/\\..\\x",
    "white space": "https://ca.example/order 1",
    "CR LF": "https://ca.example/order/1\r\nX-Evil: 1",
    "leading space": " https://ca.example/order/1",
    "tab in the scheme": "ht\ttps://ca.example/",
    "NUL": "https://ca.example/\x00",
    "fragment": "https://ca.example/order#1",
    "no host": "https:///order/1",
    "relative": "/order/1",
    "scheme-relative": "//ca.example/order/1",
    "other scheme case": "HTTPS://ca.example/order/1",
    "query without a path": "https://ca.example?x=1",
    "bracket": "https://[ca.example]/order/1",
    "too long": "https://ca.example/" + "a" * LONGEST_URL,
    "64 KiB": "https://ca.example/" + "a" * 65536,
    "empty": "",
}


@pytest.mark.parametrize("url", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_url_elsewhere_is_refused(url: str) -> None:
    """R2, CA26: https REQUIRED, and only the CA's own origin."""
    with pytest.raises(CaProtocolError, match="finalize: the CA names a URL") as caught:
        CA.check(url, "finalize")
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://ca.example/order/1",
        "https://CA.Example/order/1",
        "https://ca.example:443/order/1",
        "https://ca.example",
        "https://ca.example/a%2Fb%41%ff?x=%2f&y=[1]",
        "https://ca.example/order/1?",
        "https://ca.example//a/../b;c,d!$'()*+=:@~",
    ],
)
def test_a_url_on_the_origin_stays_exactly_as_it_is(url: str) -> None:
    """R10: no re-encoding, no default port taken off, no dots resolved."""
    assert CA.check(url, "order") == url


def test_an_origin_with_a_port_or_an_address_is_compared_as_a_whole() -> None:
    origin = Origin.of_directory("https://[2001:db8::1]:14000/dir")
    assert str(origin) == "[2001:db8::1]:14000"
    origin.check("https://[2001:DB8::1]:14000/order", "order")
    with pytest.raises(CaProtocolError):
        origin.check("https://[2001:db8::1]/order", "order")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://ca.example/a%2Fb%41", "/a%2Fb%41"),
        ("https://ca.example/a?x=%2f", "/a?x=%2f"),
        ("https://ca.example/a?", "/a?"),
        ("https://ca.example:443/a?b?", "/a?b?"),
        ("https://ca.example/a/../b", "/a/../b"),
    ],
)
def test_what_is_requested_is_what_is_written(url: str, path: str) -> None:
    """R10: aiohttp is given a URL that it does not tidy."""
    assert exact(url).raw_path_qs == path
    assert exact(url).host == "ca.example"


def test_relative_references_are_resolved_and_absolute_ones_kept() -> None:
    assert resolve("/order/1", "https://ca.example/new") == "https://ca.example/order/1"
    assert resolve("https://CA.example/%41", "https://ca.example/new") == "https://CA.example/%41"
    assert resolve("https:[", "https://ca.example/new") == "" or resolve("//[", "https://ca.example/new") == ""


@pytest.mark.parametrize(
    "url", ["http://ca.example/dir", "HTTP://ca.example/dir", "ca.example/dir", "ftp://ca.example", "", "https://"]
)
def test_a_directory_without_https_is_a_mistake_of_the_configuration(url: str) -> None:
    """R2: told before anything is sent, with what to do."""
    with pytest.raises(ConfigError) as caught:
        Origin.of_directory(url)
    if url[:5].lower() == "http:":
        assert "--ca-bundle" in caught.value.hint


@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "https://169.254.169.254/x", "file:///x", "https://127.0.0.1/"])
@pytest.mark.parametrize("field", ["finalize", "authorizations"])
async def test_an_order_that_leads_elsewhere_is_refused_and_nothing_goes_there(
    fake: FakeCa, connect: Connect, field: str, url: str
) -> None:
    """R2, CA26: an `http://` URL in an order of an https directory; the next request is never sent."""
    ca = await connect()
    fake.next("newOrder", changed(lambda order: order.update({field: [url] if field == "authorizations" else url})))
    with pytest.raises(CaProtocolError, match=field):
        await ca.new_order(ONE)


async def test_a_location_elsewhere_is_refused(fake: FakeCa, connect: Connect) -> None:
    """R2: the account's and order's URLs come in a header."""
    ca = await connect()
    fake.next("newOrder", after(Location="http://127.0.0.1/order/1"))
    with pytest.raises(CaProtocolError, match="Location"):
        await ca.new_order(ONE)


async def test_odd_urls_of_the_ca_are_signed_and_requested_exactly(fake: FakeCa, connect: Connect) -> None:
    """R10: the fake compares the JWS `url` with the request line, octet by octet."""
    ca = await connect()
    order = await ca.new_order(ONE)
    for odd in ("%2Fx%41y/1", "a/../1", "1?", "1?x=%2f", "1?x=[1]&y=~"):
        url = f"{fake.base}/authz/{odd}"
        fake.state.authorizations.setdefault(odd.rsplit("/", 1)[-1], fake.state.authorizations["1"])
        await ca.fetch_authorization(url)
        assert fake.last("authorization").url == url
    assert order.status.value == "pending"
