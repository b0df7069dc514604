"""Which challenge answers for an identifier: what the CA offers decides among those that are allowed and fit."""

from collections.abc import Sequence

from certd.model.acme import Authorization, Challenge, ChallengeStatus, ChallengeType
from certd.model.errors import ConfigError
from certd.model.identifiers import Identifier, IdentifierType


def fitting(identifier: Identifier, allowed: Sequence[ChallengeType]) -> tuple[ChallengeType, ...]:
    """Those of *allowed*, in that order, that can validate *identifier* at all.

    Raises ConfigError, before any CA is asked, when none can.
    """
    fit = tuple(t for t in allowed if _fits(identifier, t))
    if fit:
        return fit
    if identifier.is_wildcard:
        raise ConfigError(
            f"{identifier}: a wildcard can only be validated by DNS (dns-01), and no DNS provider is chosen",
            hint="add --dns PROVIDER (certd providers list)",
        )
    if identifier.type is IdentifierType.IP:
        raise ConfigError(
            f"{identifier}: an IP address cannot be validated by DNS (RFC 8738), only by http-01 or tls-alpn-01",
            hint="leave out --dns for it, or add --challenge http-01",
        )
    raise ConfigError(f"{identifier}: no challenge type is allowed for it", hint="add --challenge TYPE")


def choose(authorization: Authorization, allowed: Sequence[ChallengeType]) -> Challenge:
    """The challenge to answer; raises ConfigError when the CA offers none of the allowed ones."""
    fit = fitting(authorization.identifier, allowed)
    # Some CAs leave the authorization pending when one challenge has failed, for another type to be tried.
    alive = [c for c in authorization.challenges if c.status is not ChallengeStatus.INVALID]
    offered = {challenge.type: challenge for challenge in reversed(alive)}
    for type_ in fit:
        if type_ in offered:
            return offered[type_]
    raise ConfigError(
        f"{authorization.identifier}: the CA offers {', '.join(sorted(set(authorization.offered))) or 'no challenge'}, "
        f"but only {', '.join(t.value for t in fit)} can be answered here",
        hint="choose another with --challenge, or add --dns PROVIDER",
    )


def _fits(identifier: Identifier, type_: ChallengeType) -> bool:
    if identifier.is_wildcard:  # RFC 8555 §7.4.1 leaves it to CAs; all of them take DNS only
        return type_ is ChallengeType.DNS_01
    if identifier.type is IdentifierType.IP:  # RFC 8738 §7: "dns-01" MUST NOT be used
        return type_ is not ChallengeType.DNS_01
    return True
