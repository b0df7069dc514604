"""What a CA says, made fit for a log line, a terminal and the ledger: bounded, and without control characters.

Never interprets anything. Quoting for HTML or shells is the business of whoever writes those.
"""

import re

LONGEST_DETAIL = 2048
LONGEST_WORD = 256

# C0 and C1 controls would drive a terminal or split a log line; the bidirectional ones show another text than is
# there; lone surrogates cannot be encoded at all. Line and paragraph separators end a line for some readers.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]+")


def clean(text: str, limit: int = LONGEST_DETAIL) -> str:
    """*text* on one line, at most *limit* characters; what was cut is shown by an ellipsis."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    # The usual text is printable, and isprintable() is ten times as fast as the expression.
    return text if text.isprintable() else _UNFIT.sub(" ", text).strip()
