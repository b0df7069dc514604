"""What is asked of a CA: the kinds of requests, and what each kind may cost. One row a kind.

Names are those of the directory fields where there is one; metrics and messages show them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

_MIB = 1024 * 1024


class Kind(Enum):
    DIRECTORY = "directory"
    NEW_NONCE = "newNonce"
    NEW_ACCOUNT = "newAccount"
    ACCOUNT = "account"
    KEY_CHANGE = "keyChange"
    ORDERS = "orders"
    NEW_ORDER = "newOrder"
    ORDER = "order"
    NEW_AUTHZ = "newAuthz"
    AUTHORIZATION = "authorization"
    CHALLENGE = "challenge"
    FINALIZE = "finalize"
    CERTIFICATE = "certificate"
    REVOKE = "revokeCert"
    RENEWAL_INFO = "renewalInfo"


@dataclass(frozen=True, slots=True)
class Allowance:
    """`seconds`: for the whole step, its retries included. `body`: bytes of one reply, decompressed.

    `repeats`: how often the request may be sent again after a lost connection, where nobody knows whether the CA saw
    it. Only what has the same effect when done twice: a second newOrder may be a second order, a second keyChange or
    deactivation is refused with an error that hides the success of the first.
    """

    seconds: float = 60.0
    body: int = _MIB
    repeats: int = 0
    accept: str = "application/json"


_READ = Allowance(repeats=2)
_SAME_TWICE = Allowance(repeats=1)

ALLOWANCES: dict[Kind, Allowance] = {
    Kind.DIRECTORY: Allowance(body=_MIB // 4, repeats=2),
    Kind.NEW_NONCE: _READ,
    Kind.NEW_ACCOUNT: _SAME_TWICE,  # the same key finds the same account (§7.3)
    Kind.ACCOUNT: Allowance(),
    Kind.KEY_CHANGE: Allowance(),
    Kind.ORDERS: _READ,
    Kind.NEW_ORDER: Allowance(),
    Kind.ORDER: _READ,
    Kind.NEW_AUTHZ: Allowance(),
    Kind.AUTHORIZATION: _READ,
    Kind.CHALLENGE: _SAME_TWICE,
    Kind.FINALIZE: Allowance(seconds=120.0),
    Kind.CERTIFICATE: Allowance(seconds=120.0, repeats=2, accept="application/pem-certificate-chain"),
    Kind.REVOKE: _SAME_TWICE,  # alreadyRevoked is success
    Kind.RENEWAL_INFO: _READ,
}

#: Requests of one step, whatever the CA does. At 50 % refused nonces ten suffice for 99.9 % of the steps.
MOST_REQUESTS = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, for metrics and logs; never a payload. `status` 0: there was no reply."""

    method: str
    kind: Kind
    url: str
    status: int
    seconds: float


Observe = Callable[[Seen], None]
