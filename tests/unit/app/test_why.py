"""Why a certificate is issued, in words: all that a person has changed, and CAs by the names people know."""

from dataclasses import replace
from datetime import timedelta

import pytest

from certd.app.why import BY_TIME, FORCED, why
from certd.model.acme import IssuerId
from certd.model.desired import Desired
from certd.model.identifiers import CertName, parse_identifiers
from certd.model.keys import KeyType, KeyWish
from tests.fakes.clock import START
from tests.unit.ledger.samples import ISSUER, NAME, generation, renewal

DAY = timedelta(days=1)
WISH = Desired(CertName(NAME), parse_identifiers([NAME]), ISSUER)
LETSENCRYPT = IssuerId("https://acme-v02.api.letsencrypt.org/directory")


def said(wish: Desired = WISH, after: timedelta = DAY, *, force: bool = False) -> str | None:
    found = why(wish, generation(), renewal(), START + after, force=force)
    return found.message if found else None


def test_nothing_has_no_reason() -> None:
    assert said() is None


def test_everything_that_changed_is_said_at_once() -> None:
    """Who changed two things must not think that one of them was missed."""
    wish = replace(
        WISH,
        identifiers=parse_identifiers([NAME, "www.example.org"]),
        issuer=LETSENCRYPT,
        key=KeyWish(KeyType.RSA4096),
        profile="shortlived",
    )
    found = why(wish, generation(), renewal(), START + DAY)
    assert found is not None
    assert (found.code, found.message.split("; ")) == (
        "names-changed",
        [
            "names changed: +www.example.org",
            "issuer changed: ca.test → Let's Encrypt",
            "key type changed: EC P-256 → RSA 4096",
            "profile changed: the CA's default → shortlived",
        ],
    )


@pytest.mark.parametrize(("after", "code"), [(61 * DAY, "due"), (87 * DAY, "floor"), (91 * DAY, "expired")])
def test_what_time_alone_can_make_is_known(after: timedelta, code: str) -> None:
    """A wrong clock makes these, and no others."""
    found = why(WISH, generation(), renewal(), START + after)
    assert found is not None
    assert found.code == code
    assert code in BY_TIME


def test_a_change_says_more_than_a_date_that_has_come() -> None:
    wish = replace(WISH, profile="shortlived")
    assert said(wish, 91 * DAY) == "profile changed: the CA's default → shortlived"


def test_force_is_a_reason_where_there_is_no_other() -> None:
    assert said(force=True) == FORCED.message
    assert said(after=91 * DAY, force=True) != FORCED.message
    assert why(WISH, None, None, START, force=True) != FORCED


def test_another_csr_is_a_change_only_where_it_is_for_another_key() -> None:
    wish, made = replace(WISH, csr=b"csr"), replace(generation(), csr_given=True, key_id=None)
    assert why(wish, made, renewal(), START) is None
    found = why(wish, made, renewal(), START, other_csr_key=True)
    assert found is not None
    assert found.code == "key-changed"
