"""Where public CAs differ from RFC 8555 or narrow it: one table, by the issuer's kind, found by its directory's host.

Only differences that change what certd sends. What a CA merely leaves out (an orders list, `replaces` on a later GET)
is optional for every CA.
"""

from dataclasses import dataclass

from certd.model.acme import RevocationReason


@dataclass(frozen=True, slots=True)
class Quirks:
    """`takes_validity`: newOrder may name notBefore and notAfter. `reasons`: those a subscriber may revoke for."""

    kind: str = "RFC 8555"
    takes_validity: bool = True
    reasons: frozenset[RevocationReason] = frozenset(RevocationReason)


# Boulder: "NotBefore and NotAfter are not supported", and reasons 0, 1, 4, 5 (facts of the CA's own documentation).
_BOULDER = Quirks(
    kind="Boulder",
    takes_validity=False,
    reasons=frozenset(
        {
            RevocationReason.UNSPECIFIED,
            RevocationReason.KEY_COMPROMISE,
            RevocationReason.SUPERSEDED,
            RevocationReason.CESSATION_OF_OPERATION,
        }
    ),
)

_BY_DOMAIN: dict[str, Quirks] = {
    "letsencrypt.org": _BOULDER,
}

_PLAIN = Quirks()


def quirks_of(host: str) -> Quirks:
    """By the host of the directory: itself or a domain above it."""
    labels = host.split(".")
    return next((found for start in range(len(labels)) if (found := _BY_DOMAIN.get(".".join(labels[start:])))), _PLAIN)
