"""Addresses as people write them."""

import pytest

from certd.listen.addresses import Address, Bind, BoundAddress, Passed, parse_address
from certd.model.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected", "written"),
    [
        ("127.0.0.1:80", Bind("127.0.0.1", 80), "127.0.0.1:80"),
        (" 127.0.0.1:0 ", Bind("127.0.0.1", 0), "127.0.0.1:0"),
        ("[::1]:80", Bind("::1", 80), "[::1]:80"),
        ("[2001:DB8::0:1]:8080", Bind("2001:db8::1", 8080), "[2001:db8::1]:8080"),
        ("[fe80::1%eth0]:80", Bind("fe80::1%eth0", 80), "[fe80::1%eth0]:80"),
        (":80", Bind("", 80), ":80"),
        ("*:80", Bind("", 80), ":80"),
        ("localhost:5002", Bind("localhost", 5002), "localhost:5002"),
        ("0.0.0.0:80", Bind("0.0.0.0", 80), "0.0.0.0:80"),
        ("fd:3", Passed(3), "fd:3"),
    ],
)
def test_addresses_are_read_and_written(text: str, expected: Address, written: str) -> None:
    """All the forms that the options take."""
    assert parse_address(text) == expected
    assert str(expected) == written


NO_ADDRESSES = [
    "",
    "80",
    "127.0.0.1",
    "::1",
    "::1:80",
    "[::1]",
    "[127.0.0.1]:80",
    "[]:80",
    "example.org:80",
    "1.2.3:80",
]
NO_ADDRESSES += ["1.2.3.4:", "1.2.3.4:x", "1.2.3.4:-1", "1.2.3.4:65536", "1.2.3.4:999999", "1.2.3.4:٣", "127.1:80"]
NO_ADDRESSES += ["fd:", "fd:-1", "fd:x", "fd:٣", "http://a:80", "[::1]:80/", "[::1%]:80", "[::1]80", "0x7f000001:80"]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_anything_else_is_refused_by_name(text: str) -> None:
    """The error says what was typed."""
    with pytest.raises(ConfigError, match="^" + repr(text).replace("[", r"\[").replace(".", r"\.")):
        parse_address(text)


def test_bound_addresses_are_written_as_urls_write_them() -> None:
    """So that they can be typed back."""
    assert str(BoundAddress("::", 80)) == "[::]:80"
    assert str(BoundAddress("127.0.0.1", 80)) == "127.0.0.1:80"
