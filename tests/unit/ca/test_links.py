"""Link headers: the few relations that matter, out of anything a server writes there."""

import time

import pytest

from certd.ca.links import MOST_LINKS, links

BASE = "https://ca.example/acme/cert/1"

FORMS: dict[str, tuple[str, ...]] = {
    '<https://ca.example/1>;rel="alternate"': ("https://ca.example/1",),
    "<https://ca.example/1>; rel=alternate": ("https://ca.example/1",),
    '<https://ca.example/1> ; REL = "Alternate"': ("https://ca.example/1",),
    '<https://ca.example/1>; title="a;rel=up"; rel="alternate"': ("https://ca.example/1",),
    '<https://ca.example/1>; rel="next alternate up"': ("https://ca.example/1",),
    '<https://ca.example/1>;rel="up", <https://ca.example/2>;rel="alternate"': ("https://ca.example/2",),
    '<https://ca.example/1>;rel="alternate",<https://ca.example/2>;rel="alternate"': (
        "https://ca.example/1",
        "https://ca.example/2",
    ),
    '<https://ca.example/1>;rel="alternate", <https://ca.example/1>;rel="alternate"': ("https://ca.example/1",),
    '</cert/2>;rel="alternate"': ("https://ca.example/cert/2",),
    '<2>;rel="alternate"': ("https://ca.example/acme/cert/2",),
    '<https://ca.example/%41?x=%2F>;rel="alternate"': ("https://ca.example/%41?x=%2F",),
    '<https://ca.example/1>;rel="up";rel="alternate"': (),
    "<https://ca.example/1>;rel=up": (),
    "<https://ca.example/1>": (),
    "https://ca.example/1;rel=alternate": (),
    "<https://ca.example/1;rel=alternate": (),
    '<https://ca.example/1>;rel="alternate': (),
    '<https://ca.example/1>;title="unbalanced;rel=alternate': (),
    "<>;rel=alternate": (),
    "": (),
    ";;;,,,": (),
}


@pytest.mark.parametrize(("header", "found"), FORMS.items(), ids=lambda v: repr(v)[:50])
def test_each_form_of_link(header: str, found: tuple[str, ...]) -> None:
    """CA28: rel lists, relative targets, unbalanced quotes."""
    assert links([header], "alternate", BASE) == found


def test_several_headers_are_one_list() -> None:
    """R34: servers write one header a link, or one for all."""
    assert links(
        ["<https://ca.example/1>;rel=alternate", "<https://ca.example/2>;rel=alternate"], "alternate", BASE
    ) == (
        "https://ca.example/1",
        "https://ca.example/2",
    )


def test_ten_thousand_links_are_looked_at_up_to_a_limit() -> None:
    """CA28."""
    many = [f"<https://ca.example/{number}>;rel=alternate" for number in range(10_000)]
    assert len(links(many, "alternate", BASE)) == MOST_LINKS
    assert len(links([", ".join(many)], "alternate", BASE)) <= MOST_LINKS


@pytest.mark.parametrize(
    "header",
    [
        "<" * 100_000,
        "<a>" + ";" * 100_000,
        "<a>" + "; " * 50_000,
        "<a>" + ";x" * 50_000,
        '<a>;rel="' + "a" * 100_000,
        "<a>;rel=" + " " * 100_000,
        "<a>" + ';x="' * 30_000,
        "<a>;" * 30_000,
    ],
    ids=lambda header: header[:12],
)
def test_no_header_takes_long(header: str) -> None:
    """CA28: nothing in the expression backtracks for long."""
    began = time.process_time()
    links([header], "alternate", BASE)
    assert time.process_time() - began < 0.5
