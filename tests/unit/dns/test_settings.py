"""--dns-resolver, --dns-server and --propagation-timeout as people type them."""

from datetime import timedelta

import pytest

from certd.dns.settings import DnsSettings, Server, parse_dns_settings, parse_server
from certd.model.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "server", "shown"),
    [
        ("192.0.2.53", Server("192.0.2.53", 53), "192.0.2.53:53"),
        ("192.0.2.53:5353", Server("192.0.2.53", 5353), "192.0.2.53:5353"),
        ("2001:db8::1", Server("2001:db8::1", 53), "[2001:db8::1]:53"),
        ("[2001:db8::1]", Server("2001:db8::1", 53), "[2001:db8::1]:53"),
        ("[2001:db8::1]:5353", Server("2001:db8::1", 5353), "[2001:db8::1]:5353"),
    ],
)
def test_a_name_server_is_an_address_with_or_without_port(text: str, server: Server, shown: str) -> None:
    assert parse_server(text) == server
    assert str(server) == shown


@pytest.mark.parametrize(
    "text",
    ["", "ns1.example.org", "ns1.example.org:53", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:x",
     "[2001:db8::1", "[2001:db8::1]53", "[]:53", "1.2.3.4.5", "192.0.2.53:٣"],
)  # fmt: skip
def test_what_is_no_address_and_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_server(text)


def test_a_host_name_shows_beside_its_address() -> None:
    assert str(Server("192.0.2.53", name="ns1.example.net")) == "ns1.example.net (192.0.2.53:53)"


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("300s", 300), ("5m", 300), ("1.5 h", 5400), ("0.5", 0.5), ("24h", 86400)]
)
def test_a_wait_is_seconds_minutes_or_hours(text: str, seconds: float) -> None:
    assert parse_dns_settings(propagation_timeout=text).propagation_timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "-1", "soon", "5 minutes", "25h", "9" * 400, "1e3", "nan"])
def test_a_wait_of_nothing_of_more_than_a_day_or_of_words_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--propagation-timeout"):
        parse_dns_settings(propagation_timeout=text)


def test_nothing_given_means_the_system_and_ten_minutes() -> None:
    assert parse_dns_settings() == DnsSettings((), (), timedelta(minutes=10))


def test_zones_are_normalised_and_the_longest_one_wins() -> None:
    settings = parse_dns_settings(servers=["Example.ORG.=192.0.2.1", "münchen.example.org=192.0.2.2", ".=192.0.2.3"])

    assert settings.given_zone("_acme-challenge.www.example.org") == "example.org"
    assert settings.given_zone("_acme-challenge.xn--mnchen-3ya.example.org") == "xn--mnchen-3ya.example.org"
    assert settings.given_zone("notexample.org") == "."
    assert settings.given_servers("example.org") == (Server("192.0.2.1"),)


def test_a_zone_may_have_several_servers() -> None:
    settings = parse_dns_settings(servers=["example.org=192.0.2.1", "example.org=[2001:db8::1]:53"])

    assert settings.given_servers("example.org") == (Server("192.0.2.1"), Server("2001:db8::1"))


def test_a_name_of_no_given_zone_has_none() -> None:
    assert parse_dns_settings(servers=["example.org=192.0.2.1"]).given_zone("example.com") is None


def test_every_mistake_is_told_at_once_with_its_option() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_dns_settings(
            resolvers=["dns.example.org", "192.0.2.53"],
            servers=["192.0.2.53", "*.example.org=192.0.2.1", "example.org=ns1"],
            propagation_timeout="later",
        )

    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "--dns-resolver", "--dns-server", "--dns-server", "--dns-server", "--propagation-timeout"
    ]  # fmt: skip
    assert "ZONE=ADDR:PORT" in lines[1]
    assert "is not the name of a zone" in lines[2]
