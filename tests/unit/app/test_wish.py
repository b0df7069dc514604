"""A request, understood: tables of what people type and what it comes to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certd.app.request import ChallengeOptions, IssueRequest, OutOptions
from certd.app.wish import allowed_types, parse_command, parse_key_type, read_request
from certd.files.access import PRIVATE, Access
from certd.model.acme import ChallengeType
from certd.model.errors import ConfigError, Mistakes
from certd.model.identifiers import parse_identifiers
from certd.model.keys import KeyType
from tests.unit.ca.csr import make_csr

HTTP, TLS, DNS = ChallengeType.HTTP_01, ChallengeType.TLS_ALPN_01, ChallengeType.DNS_01
REQUEST = IssueRequest(names=("shop.test",), server="dev")


def wished(**changes: Any) -> Any:
    return read_request(replace(REQUEST, **changes))


def mistakes(**changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        wished(**changes)
    found = caught.value.mistakes if isinstance(caught.value, Mistakes) else [caught.value]
    return [f"{mistake} | {mistake.hint}" for mistake in found]


@pytest.mark.parametrize(
    ("names", "identifiers", "name"),
    [
        (("shop.test",), ("shop.test",), "shop.test"),
        (("WWW.Shop.Test.", "shop.test", "www.shop.test"), ("www.shop.test", "shop.test"), "www.shop.test"),
        (("münchen.test",), ("xn--mnchen-3ya.test",), "xn--mnchen-3ya.test"),
        (("[::1]", "127.0.0.1"), ("::1", "127.0.0.1"), "::1"),
        (("2001:DB8::0:1",), ("2001:db8::1",), "2001:db8::1"),
        (tuple(f"h{n}.test" for n in range(101)), tuple(f"h{n}.test" for n in range(101)), "h0.test"),
    ],
)
def test_names_have_one_form_and_the_first_is_the_certificates(
    names: tuple[str, ...], identifiers: tuple[str, ...], name: str
) -> None:
    desired = wished(names=names).desired
    assert (tuple(map(str, desired.identifiers)), desired.name) == (identifiers, name)


def test_a_certificate_may_have_a_name_of_its_own() -> None:
    assert wished(name="shop").desired.name == "shop"


@pytest.mark.parametrize(
    ("given", "types"),
    [
        ({}, (HTTP,)),
        ({"dns": "exec"}, (DNS,)),
        ({"dns": "exec", "webroot": Path("/srv")}, (DNS, HTTP)),
        ({"types": ("tls-alpn-01",)}, (TLS,)),
        ({"types": ("HTTP-01", "tls-alpn-01")}, (HTTP, TLS)),
        ({"types": ("dns-01",), "dns": "exec"}, (DNS,)),
    ],
)
def test_challenges_are_those_that_were_named_or_what_is_there(
    given: dict[str, Any], types: tuple[ChallengeType, ...]
) -> None:
    assert allowed_types(ChallengeOptions(**given)) == types


@pytest.mark.parametrize(
    ("names", "server", "given", "http", "tls"),
    [
        (("shop.test",), "letsencrypt", {}, ":80", ":443"),
        (("shop.test",), "dev", {}, "127.0.0.1:0", "127.0.0.1:0"),
        (("shop.test", "::1"), "dev", {}, ":0", ":0"),
        (("shop.test",), "dev", {"http_address": "fd:3"}, "fd:3", "127.0.0.1:0"),
        (("::1",), "dev", {"http_address": "[::1]:80", "tls_address": "[::1]:443"}, "[::1]:80", "[::1]:443"),
    ],
)
def test_where_to_listen_depends_on_the_ca_unless_it_is_said(
    names: tuple[str, ...], server: str, given: dict[str, Any], http: str, tls: str
) -> None:
    """The embedded CA comes wherever we are; to ::1 only where both families are listened to."""
    challenge = wished(names=names, server=server, challenge=ChallengeOptions(**given)).challenge
    assert (challenge.http_address, challenge.tls_address) == (http, tls)


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        *((each.value, each) for each in KeyType),
        ("P-256", KeyType.EC256),
        ("p384", KeyType.EC384),
        ("ecdsa-p521", KeyType.EC521),
        ("EC", KeyType.EC256),
        ("rsa", KeyType.RSA2048),
        ("RSA-4096", KeyType.RSA4096),
        ("rsa_3072", KeyType.RSA3072),
        ("Ed25519", KeyType.ED25519),
    ],
)
def test_key_types_are_written_in_many_ways(text: str, type_: KeyType) -> None:
    assert parse_key_type(text) is type_


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("", ()),
        ("systemctl reload nginx", ("systemctl", "reload", "nginx")),
        ("sh -c 'kill -HUP $(cat /run/x.pid)'", ("sh", "-c", "kill -HUP $(cat /run/x.pid)")),
        ("/opt/a\\ b/run", ("/opt/a b/run",)),
    ],
)
def test_a_reload_is_words_and_no_shell(command: str, argv: tuple[str, ...]) -> None:
    assert parse_command(command) == argv


@pytest.mark.parametrize(
    ("out", "access"),
    [
        (OutOptions(), PRIVATE),
        (OutOptions(Path("/srv/tls")), PRIVATE),
        (OutOptions(Path("/srv/tls"), "0", "0"), Access(0, 0, 0o640)),
        (OutOptions(Path("/srv/tls"), mode="0440"), Access(key_mode=0o440)),
    ],
)
def test_copies_have_an_owner_a_group_and_a_mode(out: OutOptions, access: Access) -> None:
    assert wished(out=out).access == access


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": ()}, "no names given | add -d NAME"),
        ({"names": ("a b",)}, "'a b' is not a host name | did you mean -d a -d b?"),
        ({"names": ("*.shop.test",)}, "*.shop.test: a wildcard can only be validated by DNS (dns-01), and no DNS"),
        (
            {"names": ("::1",), "challenge": ChallengeOptions(dns="exec")},
            "::1: an IP address cannot be validated by DNS",
        ),
        ({"name": "../x"}, "'../x' cannot be a certificate's name"),
        ({"server": "lets"}, "'lets' is not a CA"),
        ({"key_type": "dsa"}, "'dsa' is not a key type | one of ec256, ec384"),
        ({"challenge": ChallengeOptions(types=("http01",))}, "'http01' is not a challenge type | one of http-01"),
        ({"challenge": ChallengeOptions(types=("dns-01",))}, "--challenge dns-01 needs a DNS provider | add --dns"),
        ({"challenge": ChallengeOptions(http_address="80")}, "'80' is not an address to listen on"),
        ({"challenge": ChallengeOptions(tls_address=":99999")}, "':99999': 99999 is not a port"),
        ({"out": OutOptions(mode="0640")}, "--out-owner, --out-group and --out-mode are for copies"),
        ({"out": OutOptions(Path("/x"), owner="no such user")}, "'no such user' is not a user of this machine"),
        ({"out": OutOptions(Path("/x"), mode="0644")}, "mode 0644 would let everybody"),
        ({"reload": "'"}, '--reload "\'": no closing quotation'),
        ({"reload": " "}, "--reload: the command is empty"),
        ({"reload": "''"}, "--reload: the command is empty"),
        ({"csr": Path("/nonexistent/csr.pem")}, "--csr /nonexistent/csr.pem: no such file or directory"),
    ],
)
def test_what_cannot_be_meant_is_told(changes: dict[str, Any], said: str) -> None:
    (only,) = mistakes(**changes)
    assert only.startswith(said)


def test_mistakes_in_different_options_are_told_together() -> None:
    told = mistakes(names=("*.a.test", "*.b.test"), server="lets", key_type="dsa", reload="'")
    assert [text.split(" | ")[0].split(":")[0] for text in told] == [
        *("'lets' is not a CA that certd knows by name", "'dsa' is not a key type"),
        *("*.a.test", "*.b.test", '--reload "\'"'),
    ]


def csr(folder: Path, *names: str) -> Path:
    path = folder / "csr.pem"
    path.write_bytes(make_csr(names))
    return path


def test_a_csr_brings_its_names(tmp_path: Path) -> None:
    desired = wished(names=(), csr=csr(tmp_path, "shop.test", "www.shop.test")).desired
    assert set(desired.identifiers) == set(parse_identifiers(["shop.test", "www.shop.test"]))
    assert desired.csr is not None


def test_a_csr_for_other_names_than_d_says_is_a_mistake(tmp_path: Path) -> None:
    (only,) = mistakes(names=("other.test",), csr=csr(tmp_path, "shop.test"))
    assert "the CSR asks for shop.test, which is not what -d says | leave -d out" in only


def test_no_csr_is_read_without_end() -> None:
    """A mistyped path may be a device."""
    (only,) = mistakes(names=(), csr=Path("/dev/zero"))
    assert only.startswith("/dev/zero: ")
