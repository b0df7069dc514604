"""A CA in memory behind the workflows' `Ca` and `Conversation` ports: RFC 8555's state machines, real certificates.

Strict with its client, and scriptable to misbehave: `faults` refuse or lose requests, `distort` changes replies, the
other attributes are moods. Shares no code with `certd.ca`: what the client mends there is not tried here.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certd.model.acme import (
    Account,
    AccountStatus,
    AccountUrl,
    Authorization,
    AuthorizationStatus,
    CertId,
    Chain,
    Chains,
    Challenge,
    ChallengeStatus,
    ChallengeType,
    Directory,
    IssuerId,
    NewOrder,
    Order,
    OrderStatus,
    OrderUrl,
    RenewalInfo,
)
from certd.model.clock import Clock
from certd.model.errors import CaRefused
from certd.model.identifiers import Identifier, IdentifierType
from certd.model.keys import SigningKey
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


class FakeCa:
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

    @asynccontextmanager
    async def converse(self, key: SigningKey, account_url: AccountUrl | None) -> AsyncIterator["Session"]:
        yield Session(self, key.public_der, account_url)

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
            self._validate(authorization)
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

    def _validate(self, authorization: KnownAuthorization) -> None:
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


@dataclass
class Session:
    """The CA as one key sees it."""

    ca: FakeCa
    key: bytes
    account_url: AccountUrl | None
    used: list[str] = field(default_factory=list)

    def key_authorization(self, token: str) -> str:
        return f"{token}.{thumbprint(self.key)}"

    async def directory(self) -> Directory:
        return self.ca.directory

    # accounts (§7.3)

    async def register(self, *, contact: Sequence[str], terms_agreed: bool, external: object | None) -> Account:
        fault = self.ca.receive("newAccount")
        known = self._by_key()
        if known is None:
            if self.ca.terms and not terms_agreed:
                raise refusal("userActionRequired", status=403)
            if self.ca.wants_eab and external is None:
                raise refusal("externalAccountRequired", status=403)
            known = KnownAccount(AccountUrl(f"{self.ca.origin}/account/{len(self.ca.accounts) + 1}"), self.key)
            known.contact = tuple(contact)
            self.ca.accounts[known.url] = known
        return self._found(known, fault)

    async def find_account(self) -> Account:
        fault = self.ca.receive("findAccount")
        known = self._by_key()
        if known is None:
            raise refusal("accountDoesNotExist")
        return self._found(known, fault)

    async def update_account(self, contact: Sequence[str]) -> Account:
        fault, known = self.ca.receive("account"), self._own()
        known.contact = tuple(contact)
        return self._found(known, fault)

    async def deactivate_account(self) -> Account:
        fault, known = self.ca.receive("account"), self._own()
        known.status = AccountStatus.DEACTIVATED
        return self._found(known, fault)

    async def rollover(self, new_key: SigningKey) -> None:
        fault, known = self.ca.receive("keyChange"), self._own()
        if any(other.key == new_key.public_der for other in self.ca.accounts.values()):
            raise refusal("conflict", "that key is in use", 409)
        known.key = new_key.public_der
        self.ca.reply("keyChange", fault, None)

    def _found(self, known: KnownAccount, fault: Fault | None) -> Account:
        account = Account(known.url, known.status, known.contact)
        found: Account = self.ca.reply("account", fault, account)
        return found

    def _by_key(self) -> KnownAccount | None:
        known = next((a for a in self.ca.accounts.values() if a.key == self.key), None)
        if known is not None and known.status is not AccountStatus.VALID and self.ca.hides_ended_accounts:
            raise refusal("unauthorized", f"account is {known.status.value}", 403)
        return known

    def _own(self) -> KnownAccount:
        known = self.ca.accounts.get(self.account_url or AccountUrl(""))
        if known is None:
            raise refusal("accountDoesNotExist")
        if known.key != self.key:
            raise refusal("malformed", "the signature does not fit the account's key")
        if known.status is not AccountStatus.VALID:
            raise refusal("unauthorized", f"account is {known.status.value}", 401)
        return known

    # orders (§7.4)

    async def new_order(self, wanted: NewOrder) -> Order:
        fault, account = self.ca.receive("newOrder"), self._own()
        if len(set(wanted.identifiers)) != len(wanted.identifiers):
            raise refusal("malformed", "a name stands there twice")
        return self._shown("newOrder", fault, self.ca.place(account.url, wanted))

    async def fetch_order(self, url: OrderUrl) -> Order:
        fault, account = self.ca.receive("order"), self._own()
        order = self.ca.named(url, account.url)
        self.ca.settle(order)
        return self._shown("order", fault, order)

    async def finalize(self, order: Order, csr_der: bytes) -> Order:
        fault, account = self.ca.receive("finalize"), self._own()
        known = self.ca.named(order.url, account.url)
        if known.status is not OrderStatus.READY:
            raise refusal("orderNotReady", f"the order is {known.status.value}", 403)
        csr = x509.load_der_x509_csr(csr_der)
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if not csr.is_signature_valid or set(names) != set(pki.general_names(known.wanted.identifiers)):
            raise refusal("badCSR")
        if _spki(csr) in {account.key for account in self.ca.accounts.values()}:
            raise refusal("badCSR", "the key is an account's")  # §11.1
        known.csr, known.status, known.looks = csr_der, OrderStatus.PROCESSING, self.ca.issuance_looks
        return self._shown("finalize", fault, known)

    async def download(self, order: Order, *, alternates: bool = False) -> Chains:
        fault, account = self.ca.receive("certificate"), self._own()
        for known in self.ca.issued:
            if certificate_url(known) == order.certificate and known.account == account.url:
                chain = Chain((known.leaf, self.ca.intermediate.der))
                got: Chains = self.ca.reply("certificate", fault, Chains(chain))
                return got
        raise refusal("malformed", "no such certificate", 404)

    async def renewal_info(self, cert: CertId) -> RenewalInfo:
        fault = self.ca.receive("renewalInfo")
        now = self.ca.clock.now()
        start, end = self.ca.window or (now + timedelta(days=59), now + timedelta(days=61))
        info: RenewalInfo = self.ca.reply("renewalInfo", fault, RenewalInfo(start, end, now + timedelta(hours=6)))
        return info

    def _shown(self, where: str, fault: Fault | None, known: KnownOrder) -> Order:
        order = Order(
            url=known.url,
            status=known.status,
            identifiers=frozenset(known.wanted.identifiers),
            authorizations=tuple(a.url for a in reversed(known.authorizations)),  # never by position (R20)
            finalize=f"{known.url}/finalize",
            certificate=certificate_url(known) if known.status is OrderStatus.VALID else "",
            expires=known.expires,
            error=known.error,
            profile=known.wanted.profile,
        )
        shown: Order = self.ca.reply(where, fault, order)
        return shown

    # authorizations (§7.5)

    async def fetch_authorization(self, url: str) -> Authorization:
        fault = self.ca.receive("authorization")
        known = self._authorization(url)
        self.ca._validate(known)
        return self._authorization_shown("authorization", fault, known)

    async def deactivate_authorization(self, url: str) -> Authorization:
        fault = self.ca.receive("deactivate")
        known = self._authorization(url)
        if known.status not in {AuthorizationStatus.PENDING, AuthorizationStatus.VALID}:
            raise refusal("malformed", f"the authorization is {known.status.value}")
        known.status = AuthorizationStatus.DEACTIVATED
        for order in self.ca.orders:
            self.ca.settle(order)
        return self._authorization_shown("deactivate", fault, known)

    async def answer(self, challenge: Challenge) -> Challenge:
        fault = self.ca.receive("challenge")
        known, place = self._challenge(challenge.url)
        found = known.challenges[place]
        if found.status is ChallengeStatus.PENDING:
            if known.status is not AuthorizationStatus.PENDING:
                raise refusal("malformed", f"the authorization is {known.status.value}")
            found = known.challenges[place] = replace(found, status=ChallengeStatus.PROCESSING)
            known.looks = self.ca.validation_looks
        shown: Challenge = self.ca.reply("challenge", fault, found)
        return shown

    def _authorization(self, url: str) -> KnownAuthorization:
        account = self._own()
        for known in self.ca.authorizations:
            if known.url == url and known.account == account.url:
                return known
        raise refusal("malformed", "no such authorization", 404)

    def _challenge(self, url: str) -> tuple[KnownAuthorization, int]:
        self._own()
        for known in self.ca.authorizations:
            for place, challenge in enumerate(known.challenges):
                if challenge.url == url:
                    return known, place
        raise refusal("malformed", "no such challenge", 404)

    def _authorization_shown(self, where: str, fault: Fault | None, known: KnownAuthorization) -> Authorization:
        shown: Authorization = self.ca.reply(
            where,
            fault,
            Authorization(
                url=known.url,
                identifier=known.identifier,
                status=known.status,
                challenges=tuple(known.challenges),
                offered=tuple(t.value for t in self.ca.offers),
                expires=known.expires,
            ),
        )
        return shown


def certificate_url(order: KnownOrder) -> str:
    return order.url.replace("/order/", "/certificate/")


def thumbprint(key: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(key).digest()).rstrip(b"=").decode("ascii")


def _spki(csr: x509.CertificateSigningRequest) -> bytes:
    return csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
