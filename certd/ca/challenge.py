"""Challenges (RFC 8555 §7.1.5, §8): read one by one, so that one odd challenge never spoils its authorization (R40).

What certd cannot answer, or cannot answer safely, is left out: unknown types, tokens that are not base64url, URLs
elsewhere. A token is never part of a path before it was checked here (R43).
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from certd.ca.document import Document
from certd.ca.lifecycle import CHALLENGE, check_transition, status_of
from certd.ca.problems import problem_in_object
from certd.model.acme import Challenge, ChallengeStatus, ChallengeType
from certd.model.errors import CaProtocolError

MOST_CHALLENGES = 32

# §8.1 asks for 128 bits of entropy in the base64url alphabet: 22 characters. Some private CAs send fewer, and that is
# the CA's risk; what does not fit a file name or a DNS label's neighbourhood is ours.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,255}", re.ASCII)


def read_challenges(documents: Iterable[Document]) -> tuple[tuple[Challenge, ...], tuple[str, ...]]:
    """Those that certd can answer, the first of each type; and the names of all that were offered."""
    usable: dict[ChallengeType, Challenge] = {}
    offered: dict[str, None] = {}
    for document in documents:
        if name := document.words("type", 64):
            offered[name] = None
        challenge = _read(document)
        if challenge is not None:
            usable.setdefault(challenge.type, challenge)
    return tuple(usable.values()), tuple(offered)


def _read(document: Document) -> Challenge | None:
    try:
        type_ = ChallengeType(document.text("type"))
        url = document.required_url("url")
    except (ValueError, CaProtocolError):
        return None
    token = document.text("token")
    if not _TOKEN.fullmatch(token):
        return None
    return Challenge(
        url=url,
        type=type_,
        status=status_of(ChallengeStatus, document.text("status"), ChallengeStatus.UNKNOWN),
        token=token,
        error=problem_in_object(document.value("error")),
    )


def answered(challenge: Challenge, document: Document, retry_after: datetime | None) -> Challenge:
    """*challenge* as the CA's reply to its answer shows it (§7.5.1); URL, type and token stay ours.

    Raises CaProtocolError for a status that cannot follow.
    """
    status = status_of(ChallengeStatus, document.text("status"), ChallengeStatus.UNKNOWN)
    check_transition(CHALLENGE, challenge.status, status, f"challenge {challenge.url}")
    error = problem_in_object(document.value("error"))
    return replace(challenge, status=status, error=error, retry_after=retry_after)
