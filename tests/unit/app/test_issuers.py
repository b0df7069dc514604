"""What --server means: a short name, a directory URL, or a mistake with a way out."""

import pytest

from certd.app.issuers import DEV, KNOWN, parse_server, title_of
from certd.model.acme import IssuerId
from certd.model.errors import ConfigError

STAGING = {"letsencrypt-staging", "google-staging"}


@pytest.mark.parametrize("name", KNOWN)
def test_a_short_name_is_its_directory(name: str) -> None:
    issuer = parse_server(name.upper(), None)
    assert (issuer.id, issuer.directory, issuer.title) == (
        KNOWN[name].directory,
        KNOWN[name].directory,
        KNOWN[name].title,
    )
    assert issuer.is_public is (name not in STAGING)
    assert issuer == parse_server(KNOWN[name].directory, None), "its URL is the same CA"
    assert title_of(issuer.id) == KNOWN[name].title


def test_another_url_of_a_public_ca_is_public_as_well() -> None:
    """It cannot be got round by a different path."""
    assert parse_server("https://acme-v02.api.letsencrypt.org:443/directory?x", None).is_public


def test_the_embedded_ca_has_no_url_yet() -> None:
    issuer = parse_server("DEV", None)
    assert (issuer.id, issuer.directory, issuer.is_dev, issuer.is_public) == (DEV, "", True, False)
    assert title_of(IssuerId(DEV)) == "the embedded CA"


def test_a_private_ca_is_called_by_its_host() -> None:
    issuer = parse_server("https://ca.corp.example:9000/acme/directory", None)
    assert (issuer.title, issuer.is_public, issuer.is_dev) == ("ca.corp.example:9000", False, False)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("letsencript", "'letsencript' is not a CA", "did you mean letsencrypt?"),
        ("zero-ssl", "'zero-ssl' is not a CA", "did you mean zerossl?"),
        ("ca.example/directory", "'ca.example/directory' is not a CA", "did you mean https://ca.example/directory?"),
        ("", "'' is not a CA", "there are letsencrypt, "),
        ("http://ca.example/directory", "ACME is spoken over https only", "--ca-bundle FILE"),
        ("ftp://ca.example/", "begins with https://", ""),
        ("https:///directory", "begins with https://", ""),
        ("https://ca.example:99999/", "not a URL", ""),
        ("https://[::1/", "not a URL", ""),
    ],
)
def test_what_is_no_ca_is_a_mistake_with_a_way_out(text: str, said: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_server(text, None)
    assert said in str(caught.value)
    assert hint in caught.value.hint
