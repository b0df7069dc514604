"""Only names that no public CA could issue for, and loopback addresses."""

import pytest

from certd.devca import DevCa
from certd.devca.identifiers import read_identifiers
from certd.devca.problems import Refused
from tests.unit.devca.conftest import Connect

TAKEN: tuple[str, ...] = (
    *("a.test", "*.a.test", "localhost", "demo.localhost", "*.demo.localhost", "x.internal", "nas.home.arpa"),
    *("xn--bcher-kva.test", "a" * 63 + ".test", "127.0.0.1", "127.1.2.3", "::1"),
)


@pytest.mark.parametrize("value", TAKEN)
def test_these_are_taken(value: str) -> None:
    kind = "ip" if value[0].isdigit() or ":" in value else "dns"
    assert [each.value for each in read_identifiers([{"type": kind, "value": value}])] == [value]


@pytest.mark.parametrize(
    ("kind", "value", "refusal"),
    [
        ("dns", "example.com", "rejectedIdentifier"),
        ("dns", "test.example.com", "rejectedIdentifier"),
        ("dns", "atest", "rejectedIdentifier"),
        ("dns", "test", "rejectedIdentifier"),
        ("dns", "*.test", "rejectedIdentifier"),
        ("dns", "*.localhost", "rejectedIdentifier"),
        ("dns", "home.arpa", "rejectedIdentifier"),
        ("ip", "10.0.0.1", "rejectedIdentifier"),
        ("ip", "8.8.8.8", "rejectedIdentifier"),
        ("ip", "::ffff:7f00:1", "rejectedIdentifier"),
        ("dns", "A.test", "malformed"),
        ("dns", "a.test.", "malformed"),
        ("dns", "a..test", "malformed"),
        ("dns", "-a.test", "malformed"),
        ("dns", "bücher.test", "malformed"),
        ("dns", "a*.test", "malformed"),
        ("dns", "*.*.a.test", "malformed"),
        ("dns", "a" * 64 + ".test", "malformed"),
        ("dns", "a." * 130 + "test", "malformed"),
        ("dns", "127.0.0.1", "malformed"),
        ("dns", "", "malformed"),
        ("ip", "127.0.0.01", "malformed"),
        ("ip", "0:0:0:0:0:0:0:1", "malformed"),
        ("ip", "::1%lo", "malformed"),
        ("ip", "a.test", "malformed"),
        ("email", "a@a.test", "unsupportedIdentifier"),
    ],
)
def test_these_are_not(kind: str, value: str, refusal: str) -> None:
    with pytest.raises(Refused) as caught:
        read_identifiers([{"type": kind, "value": value}])
    assert caught.value.problem.type == refusal


@pytest.mark.parametrize("given", [None, [], {}, ["a.test"], [{"type": "dns"}], [{"type": "dns", "value": 1}]])
def test_what_is_no_list_of_identifiers_is_malformed(given: object) -> None:
    with pytest.raises(Refused, match="malformed"):
        read_identifiers(given)


def test_the_same_one_twice_is_one_and_more_than_a_hundred_are_too_many() -> None:
    one = {"type": "dns", "value": "a.test"}
    assert len(read_identifiers([one, one])) == 1
    with pytest.raises(Refused, match="100 at most"):
        read_identifiers([{"type": "dns", "value": f"n{each}.test"} for each in range(101)])


def test_a_name_that_its_wildcard_covers_is_redundant() -> None:
    with pytest.raises(Refused, match="redundant"):
        read_identifiers([{"type": "dns", "value": each} for each in ("*.a.test", "www.a.test")])
    read_identifiers([{"type": "dns", "value": each} for each in ("*.a.test", "a.test", "x.www.a.test")])


async def test_each_bad_identifier_of_several_is_a_subproblem(calm: DevCa, connect: Connect) -> None:
    client = connect(calm)
    await client.register()
    refused = await client.new_order("a.test", "example.com", "example.org")
    assert (refused.status, refused.problem) == (400, "rejectedIdentifier")
    subproblems = refused.json["subproblems"]
    assert [each["identifier"]["value"] for each in subproblems] == ["example.com", "example.org"]
    alone = await client.new_order("a.test", "example.com")
    assert alone.json["identifier"] == {"type": "dns", "value": "example.com"}
