"""A CA in memory behind the workflows' `Ca` and `Conversation` ports: RFC 8555's state machines, real certificates.

Strict with its client, and scriptable to misbehave: `faults` refuse or lose requests, `distort` changes replies, the
other attributes are moods. Shares no code with `certd.ca`: what the client mends there is not tried here.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

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
    Directory,
    NewOrder,
    Order,
    OrderStatus,
    OrderUrl,
    RenewalInfo,
)
from certd.model.keys import SigningKey
from tests.fakes.ca_state import (
    ISSUER,
    CaState,
    Fault,
    KnownAccount,
    KnownAuthorization,
    KnownOrder,
    certificate_url,
    problem,
    refusal,
    thumbprint,
)
from tests.unit.keys import pki

__all__ = ["ISSUER", "FakeCa", "Fault", "Session", "problem", "refusal"]


class FakeCa(CaState):
    @asynccontextmanager
    async def converse(self, key: SigningKey, account_url: AccountUrl | None) -> AsyncIterator["Session"]:
        yield Session(self, key.public_der, account_url)


@dataclass
class Session:
    """The CA as one key sees it."""

    ca: FakeCa
    key: bytes
    account_url: AccountUrl | None

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
        self.ca.validate(known)
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


def _spki(csr: x509.CertificateSigningRequest) -> bytes:
    return csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
