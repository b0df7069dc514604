"""A secret shows itself only where `reveal` is written (invariant 8)."""

import json
import logging
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.model.secret import Secret


@given(value=st.text(alphabet="abcdefgh", min_size=6), width=st.integers(0, 20))
def test_no_way_of_printing_shows_it(value: str, width: int) -> None:
    secret = Secret(value)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", f"{secret!s:>{width}}", "%s %r" % (secret, secret)]  # noqa: UP031
    shown += [str([secret]), str({"key": secret}), repr((secret,)), str(ValueError(secret))]
    assert not [text for text in shown if value in text]
    assert secret.reveal() == value


def test_neither_logs_nor_tracebacks_nor_json_show_it(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(b"tsig-key-material")
    logging.getLogger("test").warning("using %s", secret, extra={"credential": secret})
    assert "tsig-key-material" not in caplog.text
    assert "tsig-key-material" not in "".join(traceback.format_exception(ValueError("bad credential", secret)))
    with pytest.raises(TypeError):
        json.dumps({"credential": secret})


def test_equal_secrets_are_equal_and_cannot_be_changed() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    with pytest.raises(AttributeError):
        Secret("a")._value = "b"


def test_bytes_and_text_are_both_kept_as_they_are() -> None:
    assert Secret("text").reveal() == "text"
    assert Secret(b"\x00\xff").reveal() == b"\x00\xff"
