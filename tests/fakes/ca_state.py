"""What the CA in memory knows, and RFC 8555's state machines: orders, authorizations, certificates that are real."""

import base64
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography import x509

from certd.model.acme import (
    AccountStatus,
    AccountUrl,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    ChallengeType,
    Directory,
    IssuerId,
    NewOrder,
    OrderStatus,
    OrderUrl,
)
from certd.model.clock import Clock
from certd.model.errors import CaRefused
from certd.model.identifiers import Identifier, IdentifierType
from certd.model.problems import URN, Problem
from tests.unit.keys import pki

ISSUER = IssuerId("https://ca.test/dir")
WEEK = timedelta(days=7)


def problem(kind: str, detail: str = "", status: int = 400, **more: Any) -> Problem:
    return Problem(URN + kind if kind else "about:blank", detail or f"the fake CA says {kind}", status, **more)


def refusal(kind: str, detail: str = "", status: int = 400, **more: Any) -> CaRefused:
    return CaRefused("ca.test", problem(kind, detail, status, **more))


class Sight(Protocol):
    """What a validator sees of the world."""

    def shows(self, type_: ChallengeType, identifier: Identifier, token: str, key_authorization: str) -> bool: ...


@dataclass
class Fault:
    """The next *times* requests at *where* end with *error*, after *skip* good ones.

    *late*: only after they had their effect, so that just the reply is lost.
    """

    where: str
    error: Exception
    late: bool = False
    times: int = 1
    skip: int = 0


@dataclass
class KnownAccount:
    url: AccountUrl
    key: bytes
    contact: tuple[str, ...] = ()
    status: AccountStatus = AccountStatus.VALID


@dataclass
class KnownAuthorization:
    url: str
    account: AccountUrl
    identifier: Identifier
    challenges: list[Challenge]
    expires: datetime
    status: AuthorizationStatus = AuthorizationStatus.PENDING
    looks: int = 0  # before the validation under way comes to its end


@dataclass
class KnownOrder:
    url: OrderUrl
    account: AccountUrl
    wanted: NewOrder
    authorizations: list[KnownAuthorization]
    expires: datetime
    status: OrderStatus = OrderStatus.PENDING
    csr: bytes = b""
    leaf: bytes = b""
    error: Problem | None = None
    looks: int = 0  # before the certificate is made


class CaState:
    def __init__(
        self, clock: Clock, sight: Sight, trace: list[str] | None = None, *, origin: str = "https://ca.test"
    ) -> None:
        self.clock, self.sight, self.origin = clock, sight, origin
        self.trace: list[str] = trace if trace is not None else []
        self.requests: Counter[str] = Counter()
        self.accounts: dict[AccountUrl, KnownAccount] = {}
        self.orders: list[KnownOrder] = []
        self.authorizations: list[KnownAuthorization] = []
        self.issued: list[KnownOrder] = []
        self.faults: list[Fault] = []
        self.distort: dict[str, Callable[[Any], Any]] = {}
        self.offers: tuple[ChallengeType, ...] = tuple(ChallengeType)
        self.reuses_orders = True  # as Boulder does: the same order for the same names while it is pending or ready
        self.reuses_authorizations = False
        self.never_ends: set[str] = set()  # identifiers whose validation goes on for ever
        self.validation_looks = 0
        self.issuance_looks = 0
        self.terms = self.wants_eab = self.has_ari = False
        self.hides_ended_accounts = False  # as Boulder does: unauthorized, instead of the account with its status
        self.begins = timedelta(hours=-1)  # notBefore, from now
        self.window: tuple[datetime, datetime] | None = None
        self.root = pki.make_issuer("Fake Root")
        self.intermediate = pki.make_issuer("Fake Intermediate", by=self.root)

    @property
    def directory(self) -> Directory:
        return Directory(
            url=IssuerId(f"{self.origin}/dir"),
            new_nonce=f"{self.origin}/nonce",
            new_account=f"{self.origin}/account",
            new_order=f"{self.origin}/order",
            key_change=f"{self.origin}/key-change",
            renewal_info=f"{self.origin}/ari" if self.has_ari else "",
            terms_of_service=f"{self.origin}/terms" if self.terms else "",
            external_account_required=self.wants_eab,
        )

    def receive(self, where: str) -> Fault | None:
        """Count a request and raise the fault that is due; a late one is returned."""
        self.requests[where] += 1
        self.trace.append(f"ca {where}")
        for fault in self.faults:
            if fault.where != where:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if not fault.times:
                self.faults.remove(fault)
            if fault.late:
                return fault
            raise fault.error
        return None

    def reply(self, where: str, fault: Fault | None, value: Any) -> Any:
        if fault is not None:
            raise fault.error
        return self.distort[where](value) if where in self.distort else value

    # the state machines (§7.1.6)

    def place(self, account: AccountUrl, wanted: NewOrder) -> KnownOrder:
        for order in self.orders if self.reuses_orders else []:
            self.settle(order)
            same = frozenset(order.wanted.identifiers) == frozenset(wanted.identifiers)
            if order.account == account and same and order.status in {OrderStatus.PENDING, OrderStatus.READY}:
                return order
        url = OrderUrl(f"{self.origin}/order/{len(self.orders) + 1}")
        found = [self._authorization(account, identifier) for identifier in wanted.identifiers]
        order = KnownOrder(url, account, wanted, found, self.clock.now() + WEEK)
        self.orders.append(order)
        self.settle(order)
        return order

    def _authorization(self, account: AccountUrl, identifier: Identifier) -> KnownAuthorization:
        for known in self.authorizations if self.reuses_authorizations else []:
            if (known.account, known.identifier, known.status) == (account, identifier, AuthorizationStatus.VALID):
                return known
        number = len(self.authorizations) + 1
        types = [ChallengeType.DNS_01] if identifier.is_wildcard else list(self.offers)
        if identifier.type is IdentifierType.IP:
            types = [t for t in types if t is not ChallengeType.DNS_01]
        challenges = [
            Challenge(
                f"{self.origin}/challenge/{number}/{t.value}", t, ChallengeStatus.PENDING, f"token-{number}-{t.value}"
            )
            for t in types
            if t in self.offers
        ]
        url = f"{self.origin}/authz/{number}"
        known = KnownAuthorization(url, account, identifier, challenges, self.clock.now() + WEEK)
        self.authorizations.append(known)
        return known

    def settle(self, order: KnownOrder) -> None:
        """What has happened at the CA since somebody last looked."""
        for authorization in order.authorizations:
            self.validate(authorization)
            if authorization.status is AuthorizationStatus.PENDING and authorization.expires <= self.clock.now():
                authorization.status = AuthorizationStatus.EXPIRED
        statuses = {a.status for a in order.authorizations}
        open_ = {AuthorizationStatus.PENDING, AuthorizationStatus.VALID}
        if order.status in {OrderStatus.PENDING, OrderStatus.READY} and statuses - open_:
            order.status = OrderStatus.INVALID
        elif order.status is OrderStatus.PENDING and statuses == {AuthorizationStatus.VALID}:
            order.status = OrderStatus.READY
        elif order.status is OrderStatus.PROCESSING:
            order.looks -= 1
            if order.looks < 0:
                self._issue(order)

    def validate(self, authorization: KnownAuthorization) -> None:
        for place, challenge in enumerate(authorization.challenges):
            over = authorization.status is not AuthorizationStatus.PENDING
            if over or challenge.status is not ChallengeStatus.PROCESSING:
                continue
            authorization.looks -= 1
            if authorization.looks >= 0 or authorization.identifier.value in self.never_ends:
                continue
            key_authorization = f"{challenge.token}.{thumbprint(self.accounts[authorization.account].key)}"
            seen = self.sight.shows(challenge.type, authorization.identifier, challenge.token, key_authorization)
            error = None if seen else problem("unauthorized", f"nothing right at {authorization.identifier}", 403)
            status = ChallengeStatus.VALID if seen else ChallengeStatus.INVALID
            authorization.challenges[place] = replace(challenge, status=status, error=error)
            authorization.status = AuthorizationStatus.VALID if seen else AuthorizationStatus.INVALID

    def _issue(self, order: KnownOrder) -> None:
        since = self.clock.now() - pki.NOW
        key = x509.load_der_x509_csr(order.csr).public_key()
        names = tuple(order.wanted.identifiers)
        order.leaf = pki.make_leaf(
            self.intermediate, key, names=names, begins=since + self.begins, ends=since + timedelta(days=90)
        )
        order.status = OrderStatus.VALID
        self.issued.append(order)
        self.trace.append("ca issues")

    def named(self, url: str, account: AccountUrl | None) -> KnownOrder:
        assert url.startswith(f"{self.origin}/"), f"{url} is another CA's"
        for order in self.orders:
            if order.url == url and order.account == account:
                return order
        raise refusal("malformed", "no such order", 404)


def certificate_url(order: KnownOrder) -> str:
    return order.url.replace("/order/", "/certificate/")


def thumbprint(key: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(key).digest()).rstrip(b"=").decode("ascii")
