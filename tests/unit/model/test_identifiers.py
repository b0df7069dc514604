"""Identifiers and names: one form for each, whatever people type, and no way out of the state directory (SE4, FZ10)."""

import ipaddress
import random
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from certd.model.errors import ConfigError
from certd.model.identifiers import (
    CertName,
    Identifier,
    IdentifierType,
    default_name,
    file_name,
    from_set_key,
    parse_identifier,
    parse_identifiers,
    set_key,
)

DNS, IP = IdentifierType.DNS, IdentifierType.IP


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        ("example.org", DNS, "example.org"),
        (" WWW.Example.ORG. ", DNS, "www.example.org"),
        ("*.example.org", DNS, "*.example.org"),
        ("*.Example.org.", DNS, "*.example.org"),
        ("localhost", DNS, "localhost"),
        ("_service.internal", DNS, "_service.internal"),
        ("münchen.example", DNS, "xn--mnchen-3ya.example"),
        ("MÜNCHEN.example", DNS, "xn--mnchen-3ya.example"),
        ("*.münchen.example", DNS, "*.xn--mnchen-3ya.example"),
        ("XN--MNCHEN-3YA.example", DNS, "xn--mnchen-3ya.example"),
        ("straße.example", DNS, "xn--strae-oqa.example"),  # IDNA2008 keeps ß, IDNA2003 made it ss
        ("例え。example", DNS, "xn--r8jz45g.example"),
        ("1.2.3.example", DNS, "1.2.3.example"),
        ("3com.example", DNS, "3com.example"),
        ("192.0.2.1", IP, "192.0.2.1"),
        ("2001:DB8::0:1", IP, "2001:db8::1"),
        ("[2001:db8::1]", IP, "2001:db8::1"),
        ("::1", IP, "::1"),
        ("2001:db8:0:0:1:0:0:1", IP, "2001:db8::1:0:0:1"),  # RFC 5952 §4.2.3: the first of two equal runs
        ("2001:db8:0:1:1:1:1:1", IP, "2001:db8:0:1:1:1:1:1"),  # §4.2.2: a single zero group stays
    ],
)
def test_what_people_type_has_one_form(text: str, type_: IdentifierType, value: str) -> None:
    assert parse_identifier(text) == Identifier(type_, value)


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", ".", "..", "*", "*.", "**.example.org", "a.*.example.org", "*a.example.org", "*.*.example.org"],
        *["-a.example", "a-.example", "a..example", ".example.org", "example.org..", "a b.example", "a\tb.example"],
        *[
            "example,org",
            "example.org/",
            "https://example.org",
            "example.org:443",
            "user@example.org",
            "a\x00b.example",
        ],
        *["a\n.example", "a%2e.example", f"{'a' * 64}.example", ".".join(["a" * 60] * 5), "[example.org]", "[]"],
        *["xn--a.example", "xn--.example", "xn--\x80.example", "ex\u2215ample.org", "\u200d.example", "\ufdfa.example"],
        *[
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.999",
            "01.2.3.4",
            "256.1.1.1",
            "*.1.2.3.4",
            "1.2.3.4/24",
            "12345",
            "\u0661.\u0662.\u0663.\u0664",
        ],
        *["\uff11.\uff12.\uff13.\uff14", "a.\uff11", "①.①", "[::1", "::1]", "1::2::3", "2001:db8::g", ":::", "[[::1]]"],
        *[
            "::ffff:1.2.3.4",
            "[::ffff:1.2.3.4]",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "2001:db8::1/64",
            "\uff12\uff10\uff10\uff11:db8::1",
        ],
    ],
)
def test_what_no_ca_could_certify_is_refused_by_its_own_name(text: str) -> None:
    """The text is quoted, so that control characters do not reach a terminal."""
    with pytest.raises(ConfigError) as caught:
        parse_identifier(text)
    assert repr(text) in str(caught.value)


def test_every_mistake_is_told_at_once_and_doubles_count_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_identifiers(["a b", "fine.example", "c,d"])
    assert [line.split(" is ")[0] for line in str(caught.value).split("\n")] == ["'a b'", "'c,d'"]
    assert parse_identifiers(["b.example", "A.example", "a.example."]) == parse_identifiers(["b.example", "a.example"])


def test_a_wildcard_has_its_base() -> None:
    wildcard, plain = parse_identifiers(["*.example.org", "example.org"])
    assert (wildcard.is_wildcard, wildcard.base, plain.is_wildcard, plain.base) == (
        True,
        "example.org",
        False,
        "example.org",
    )


texts = st.one_of(
    st.text(max_size=60),
    st.from_regex(r"(\*\.)?([a-zA-Z0-9_-]{1,12}\.){0,4}[a-zA-Z0-9-]{1,12}\.?", fullmatch=True),
    st.lists(
        st.sampled_from(
            [".", "*.", "-", "xn--", "münchen", "例え", "\u06f1", "\uff11", "ß", "%", ":", "[", "]", "a", "1"]
        )
    ).map("".join),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
)


@settings(deadline=None, max_examples=2000)
@given(text=texts)
@example(text="xn--11.22")
@example(text="a" * 100_000)
@example(text="xn--" + "ü" * 10_000)
def test_any_text_is_an_identifier_in_its_final_form_or_an_error(text: str) -> None:
    """FZ10: no other exception, and reading the form again changes nothing."""
    try:
        identifier = parse_identifier(text)
    except ConfigError:
        return
    assert parse_identifier(identifier.value) == identifier
    assert identifier.value.isascii()
    assert identifier.value == identifier.value.lower()
    if identifier.type is IP:
        assert str(ipaddress.ip_address(identifier.value)) == identifier.value
    else:
        assert re.fullmatch(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", identifier.value)
        with pytest.raises(ValueError, match="does not appear"):
            ipaddress.ip_address(identifier.base)


@settings(deadline=None, max_examples=500)
@given(text=st.text(alphabet=st.characters(min_codepoint=0x80, categories=["L", "N"]), min_size=1, max_size=12))
def test_composed_and_decomposed_letters_are_the_same_name(text: str) -> None:
    """macOS types decomposed letters, Linux composed ones."""
    forms = []
    for form in ("NFC", "NFD"):
        try:
            forms.append(parse_identifier(f"{unicodedata.normalize(form, text)}.example").value)
        except ConfigError:
            forms.append("")
    assert forms[0] == forms[1]


identifiers = st.one_of(
    st.from_regex(r"(\*\.)?[a-z]([a-z0-9-]{0,8}[a-z])?(\.[a-z]{1,8}){0,3}", fullmatch=True).map(
        lambda t: Identifier(DNS, t)
    ),
    st.ip_addresses().map(lambda a: Identifier(IP, str(a))),
)


@given(wanted=st.lists(identifiers, min_size=1, max_size=20, unique=True), seed=st.randoms())
def test_a_set_key_knows_no_order_and_gives_the_set_back(wanted: list[Identifier], seed: object) -> None:
    shuffled = sorted(wanted, key=lambda i: i.value[::-1])
    assert set_key(wanted) == set_key(shuffled)
    assert set(from_set_key(set_key(wanted))) == set(wanted)


# Names on disk.


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("example.org", "example.org"),
        ("*.example.org", "_wildcard.example.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001-db8--1"),
        ("2001:db8::", "2001-db8--"),
        ("::1", "0--1"),
        ("::", "0--"),
        ("0:1:2:3:4:5:6:7", "0-1-2-3-4-5-6-7"),
        ("shop", "shop"),
        ("Shop_2.web-1", "Shop_2.web-1"),
        ("CON", "CON"),
        ("_acme.example", "_acme.example"),
        ("_wildcard", "_wildcard"),
        ("a--b.example", "a--b.example"),
        ("dead-beef", "dead-beef"),
        ("trailing.", "trailing."),
    ],
)
def test_a_name_has_one_component(name: str, component: str) -> None:
    assert file_name(CertName(name)) == component


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc",
            "a\\b/",
            "a\x00b",
            ".hidden",
            "-rf",
            "--",
            "a b",
            "a\nb",
            "a..b",
            "a\u2215b",
        ],
        *["*", "**.example.org", "*.*.example.org", "a*", "*..", "*./x", "*.-a/..", "münchen.example", "e\u0301"],
        *["a:b", "C:", ":", "2001:DB8::1", "2001:db8:0::1", "::ffff:1.2.3.4%0", "1::2::3"],  # only canonical addresses
        *["_wildcard.example.org", "2001-db8--1", "2001-db8--", "0--1", "0--", "1-2-3-4-5-6-7-8"],  # others' components
        *["x" * 201, f"*.{'x' * 200}"],
    ],
)
def test_a_name_that_could_leave_or_hide_or_meet_another_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        file_name(CertName(name))


def decoded(component: str) -> str:
    """The only name whose component this is: that it can be computed proves that no two names share one."""
    if component.startswith("_wildcard."):
        return "*." + component.removeprefix("_wildcard.")
    text = component.replace("-", ":")
    text = text[1:] if text.startswith("0::") else text
    try:
        return str(ipaddress.IPv6Address(text)) if str(ipaddress.IPv6Address(text)) == text else component
    except ValueError:
        return component


hostile = st.one_of(
    st.text(max_size=12),
    st.lists(
        st.sampled_from(
            [
                "..",
                ".",
                "/",
                "\\",
                "*",
                "*.",
                ":",
                "::",
                "-",
                "--",
                "_wildcard",
                "_",
                "0",
                "1",
                "db8",
                "a",
                "A",
                "\x00",
                "~",
            ]
        ),
        max_size=10,
    ).map("".join),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda address: str(address).replace(":", "-")),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
)


@settings(deadline=None, max_examples=5000)
@given(name=hostile)
def test_no_name_leaves_its_directory_and_no_two_share_a_component(name: str) -> None:
    """SE4, by search; the next test does the number."""
    try:
        component = file_name(CertName(name))
    except ConfigError:
        return
    assert Path("/root", component).parent == Path("/root")
    assert component == Path(component).name
    assert not component.startswith((".", "-"))
    assert decoded(component) == name


def test_a_hundred_thousand_names_stay_inside_and_apart() -> None:
    """SE4: every identifier that comes in as a person's text finds a component of its own, or is told why not."""
    draw = random.Random(4)
    pieces = [
        "..",
        ".",
        "/",
        "*",
        "*.",
        ":",
        "::",
        "-",
        "--",
        "_wildcard.",
        "0",
        "1",
        "a",
        "b",
        "db8",
        "2001",
        "A",
        "ü",
        "\x00",
    ]
    owner: dict[str, str] = {}
    outside = accepted = 0
    for _ in range(100_000):
        name = CertName("".join(draw.choices(pieces, k=draw.randint(1, 6))))
        try:
            component = file_name(name)
        except ConfigError:
            continue
        accepted += 1
        outside += "/" in component or component in {".", "..", ""} or "\x00" in component
        assert owner.setdefault(component, name) == name
    assert outside == 0
    assert accepted > 5_000


@settings(max_examples=500)
@given(identifier=identifiers)
def test_every_identifier_can_name_its_certificate(identifier: Identifier) -> None:
    """But for the host names that read like an address on disk, whose error says what to do."""
    component = hint = ""
    try:
        component = file_name(default_name([identifier]))
    except ConfigError as refused:
        hint = refused.hint
    assert decoded(component) == identifier.value or (identifier.type is DNS and "--name" in hint)
