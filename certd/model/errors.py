"""The tree of errors; what is raised anywhere in certd is one of these.

    CertdError
    ├── ConfigError           usage or configuration: wrong option, bad name, bad reference        exit 2
    │   └── Mistakes          several of them at once, each with its own hint                       exit 2
    ├── PolicyRefused         a rule of the operator or of certd forbids it                         exit 3
    ├── TryLater              not now, but at `until`: limits, another process, CA outage           exit 75
    ├── CaError               the conversation with the CA
    │   ├── CaUnreachable     no HTTP reply (DNS, TCP, TLS, time limit), or no nonce that it takes   exit 1
    │   ├── CaProtocolError   a reply that RFC 8555 does not allow, or that is hostile              exit 1
    │   │   └── CaContradiction  an object is not what the CA said of it before (R19, R22)          exit 1
    │   └── CaRefused         a problem document                                                    by reaction
    ├── ChallengeFailed       the CA did not accept proof for some identifiers                      exit 1
    ├── ChainRejected         the CA's chain does not fit what was ordered                          exit 1
    ├── ProviderError         a challenge provider could not publish or withdraw                    exit 1
    ├── DeployError           the certificate is there, and a server could not be told              exit 1
    ├── ListenError           a port or webroot cannot be used                                      exit 1
    ├── KeyStoreError         a private key cannot be made, read or used                            exit 1
    └── StorageError          the ledger or files cannot be read or written                         exit 1

An error says what was attempted, on what, what came back and what happens next; lower case, identifier first, no final
dot, never a secret. `hint` stands on its own line. Which class exits how is one table: `certd.cli.exits`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certd.model.identifiers import Identifier
    from certd.model.problems import Problem


class CertdError(Exception):
    """Base of all that certd raises on purpose."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(CertdError):
    """What was asked cannot be meant."""


class Mistakes(ConfigError):
    """Several mistakes, told at once; one may be another's `Mistakes`."""

    def __init__(self, mistakes: "Sequence[ConfigError]") -> None:
        flat = [one for each in mistakes for one in (each.mistakes if isinstance(each, Mistakes) else (each,))]
        super().__init__("\n".join(map(str, flat)), hint="\n".join(dict.fromkeys(one.hint for one in flat if one.hint)))
        self.mistakes: tuple[ConfigError, ...] = tuple(flat)


class PolicyRefused(CertdError):
    """What was asked is forbidden by a rule."""


class TryLater(CertdError):
    """Not now; `until` says when, if anybody knows."""

    def __init__(self, message: str, *, until: datetime | None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.until = until


class CaError(CertdError):
    """The conversation with the CA went wrong."""


class CaUnreachable(CaError):
    """The CA cannot be talked with now.

    There was no HTTP reply, so that it may or may not have seen the request; or it took no nonce, and did nothing.
    """


class CaProtocolError(CaError):
    """The CA said something that no CA may say."""


class CaContradiction(CaProtocolError):
    """An order, authorization or challenge is not what the CA said of it before: it is not worked with any more."""


class CaRefused(CaError):
    """The CA answered with a problem document."""

    def __init__(self, attempted: str, problem: "Problem", *, message: str = "", hint: str = "") -> None:
        super().__init__(message or f"{attempted}: {problem}", hint=hint)
        self.attempted = attempted
        self.problem = problem


class ChallengeFailed(CertdError):
    """Some identifiers were not validated; `failed` has the CA's word on each."""

    def __init__(self, message: str, *, failed: "Sequence[tuple[Identifier, Problem]]", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.failed = tuple(failed)


class ChainRejected(CertdError):
    """The chain from the CA does not fit what was ordered; nothing was installed."""


class ProviderError(CertdError):
    """A provider failed. `retry`: false for bad credentials or an unknown zone, where trying again cannot help."""

    def __init__(self, message: str, *, retry: bool, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry = retry


class DeployError(CertdError):
    """The certificate is in place, and a server could not be told of it; that alone is tried again."""


class ListenError(CertdError):
    """A port, a passed socket or a webroot cannot be used."""


class KeyStoreError(CertdError):
    """A private key cannot be made, read or used."""


class StorageError(CertdError):
    """The ledger or the files cannot be read or written."""
