"""What people paste into -d instead of a name, and what they are told they meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.model.errors import ConfigError, Mistakes
from certd.model.identifiers import parse_identifier, parse_identifiers

MEANT = {
    "example.org,www.example.org": "-d example.org -d www.example.org",
    "example.org www.example.org": "-d example.org -d www.example.org",
    "example.org; *.example.org,": "-d example.org -d '*.example.org'",
    "https://www.example.org/path?q#f": "-d www.example.org",
    "example.org/": "-d example.org",
    "example.org:443": "-d example.org",
    "https://user@example.org:8443/": "-d example.org",
    "ops@example.org": "-d example.org",
    ".example.org": "-d example.org",
}
NO_IDEA = [
    "*",
    "*.*.example.org",
    "-rf",
    "a..b",
    "",
    "fe80::1%eth0",
    "1.2.3.999",
    "a,b c,-d",
    "exa mple.or g,",
    "@",
    "://",
]


@pytest.mark.parametrize(("text", "meant"), MEANT.items())
def test_a_name_in_its_usual_surroundings_is_recognised(text: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_identifier(text)
    assert caught.value.hint.startswith(f"did you mean {meant}? (")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", NO_IDEA)
def test_where_nothing_better_is_known_nothing_is_suggested(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_identifier(text)
    assert "-d -" not in caught.value.hint


def test_several_mistakes_keep_their_own_hints() -> None:
    with pytest.raises(Mistakes) as caught:
        parse_identifiers(["shop.test", "a.test,b.test", "http://c.test"])
    assert [mistake.hint.split("?")[0] for mistake in caught.value.mistakes] == [
        "did you mean -d a.test -d b.test",
        "did you mean -d c.test",
    ]


@given(st.text(alphabet="ab.,;:/@*[]- \t1", max_size=40))
def test_whatever_is_suggested_is_a_name(text: str) -> None:
    """FZ10: and looking for what was meant ends, whatever was typed."""
    try:
        parse_identifier(text)
    except ConfigError as mistake:
        if mistake.hint.startswith("did you mean"):
            suggested = mistake.hint.removeprefix("did you mean ").partition("? (")[0]
            for name in suggested.replace("'", "").split("-d ")[1:]:
                parse_identifier(name)
