"""One account at one ACME directory (RFC 8555, RFC 9773): one method a request, for the workflows' `Ca` port.

Holds no state that a new process would miss: the ledger has what must last. Never waits for a later moment, never
decides that a certificate is due. Sends what its caller asks for, and beside it only: newNonce, the directory, repeats
after a refused nonce or a lost connection, and one newOrder without `replaces` after the CA refused it with.
"""

import random as random_
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from certd.ca import account, authorization, certificate, renewal_info
from certd.ca.challenge import answered
from certd.ca.conversation import Conversation
from certd.ca.kinds import ALLOWANCES, Allowance, Kind, Observe
from certd.ca.links import links
from certd.ca.order import Trace, finalization, new_order, same_order
from certd.ca.origin import Origin
from certd.ca.quirks import quirks_of
from certd.ca.revocation import revocation
from certd.ca.text import clean
from certd.ca.tls import client_context
from certd.ca.transport import Transport
from certd.ca.wire import EMPTY_OBJECT, POST_AS_GET, ExternalBinding, Signer
from certd.model.acme import (
    Account,
    AccountUrl,
    Authorization,
    CertId,
    Chain,
    Chains,
    Challenge,
    Directory,
    NewOrder,
    Order,
    OrderUrl,
    RenewalInfo,
    RevocationReason,
)
from certd.model.clock import Clock
from certd.model.errors import CaProtocolError, CaRefused, CaUnreachable, ConfigError
from certd.model.identifiers import Identifier
from certd.model.keys import SigningKey
from certd.model.problems import URN, Problem, Reaction

_MOST_PAGES = 100


@asynccontextmanager
async def open_ca(
    directory_url: str,
    *,
    key: SigningKey,
    account_url: AccountUrl | None,
    clock: Clock,
    random: random_.Random,
    ca_bundle: Path | None = None,
    directory: tuple[Directory, datetime] | None = None,
    language: str = "en",
    observe: Observe | None = None,
    allowances: Mapping[Kind, Allowance] = ALLOWANCES,
) -> AsyncIterator["AcmeClient"]:
    """A conversation with the CA at *directory_url*, signed by *key*. Sends nothing yet.

    *account_url*: None until the key has an account. *directory*: a snapshot of the directory and when it was fetched,
    used while it is fresh. *ca_bundle*: PEM roots of the CA's API instead of the system's. *observe* is told of each
    request, never of payloads. Raises ConfigError: not an https URL, an unusable bundle.
    """
    origin = Origin.of_directory(directory_url)
    tls = client_context(ca_bundle)
    async with Transport(origin, tls, allowances, language=language, observe=observe) as transport:
        talk = Conversation(
            directory_url, transport, key=key, clock=clock, random=random, cached=directory, allowances=allowances
        )
        if account_url:
            talk.belongs_to(account_url)
        yield AcmeClient(talk, clock)


class AcmeClient:
    """The conversation with one CA; made by `open_ca`. Every method raises CaError and its kinds, and KeyStoreError.

    Safe for many tasks at once. Cancelling a method leaves the conversation usable; whether the CA saw the request is
    then unknown.
    """

    def __init__(self, talk: Conversation, clock: Clock) -> None:
        self._talk = talk
        self._clock = clock
        self._quirks = quirks_of(talk.transport.origin.host)

    @property
    def account_url(self) -> AccountUrl | None:
        """None until the account is given, registered or found."""
        return self._talk.account_url

    @property
    def requests(self) -> Counter[Kind]:
        """Requests sent so far, by kind."""
        return self._talk.transport.requests

    @property
    def clock_skew(self) -> timedelta | None:
        """The CA's Date minus our clock, from the last reply that had one; exact to about a second."""
        return self._talk.exchange.clock_skew

    @property
    def fetched_directory(self) -> Directory | None:
        """The directory, if it was fetched in this conversation; None while the caller's snapshot was enough."""
        return self._talk.endpoints.fetched

    def key_authorization(self, token: str) -> str:
        """`token "." base64url(thumbprint of the account key)` (§8.1)."""
        return self._talk.exchange.signer.key_authorization(token)

    async def directory(self) -> Directory:
        """§7.1.1."""
        return await self._talk.endpoints.directory()

    async def meet(self) -> None:
        """Have a nonce at hand, and with its reply the CA's time; costs nothing, as the next request needs one."""
        await self._talk.exchange.meet()

    # Accounts (§7.3)

    async def register(
        self, *, contact: Sequence[str] = (), terms_agreed: bool, external: ExternalBinding | None = None
    ) -> Account:
        """newAccount: makes an account, or finds the one that this key has already (§7.3). Safe to repeat."""
        signer = self._talk.exchange.signer

        def payload(url: str) -> bytes:
            return account.new_account(signer, url, contact, terms_agreed=terms_agreed, external=external)

        return await self._new_account(payload)

    async def find_account(self) -> Account:
        """The account of this key (§7.3.1). Raises CaRefused, accountDoesNotExist, when there is none."""
        return await self._new_account(lambda _: account.ONLY_EXISTING)

    async def fetch_account(self) -> Account:
        """The account as the CA has it, by POST-as-GET."""
        return await self._change_account(POST_AS_GET)

    async def update_account(self, contact: Sequence[str]) -> Account:
        """Replace the contacts; none removes them (§7.3.2)."""
        return await self._change_account(account.contact_update(contact))

    async def deactivate_account(self) -> Account:
        """End the account for good (§7.3.6)."""
        return await self._change_account(account.DEACTIVATED)

    async def rollover(self, new_key: SigningKey) -> None:
        """Make *new_key* the account's key (§7.3.5), and see that it is; this conversation goes on with it.

        Raises CaRefused when the old key stands. CaUnreachable leaves open which key the CA knows: keep both, and
        find out by `find_account` with each.
        """
        talk, own, new = self._talk, self._talk.own_url(), Signer(new_key)
        url = await talk.resource(Kind.KEY_CHANGE, lambda d: d.key_change)
        payload = await account.key_change(own, talk.exchange.signer, new, url)
        await talk.exchange.post(Kind.KEY_CHANGE, url, payload)
        await self._prove(new, own)
        talk.exchange.signer = new
        talk.belongs_to(own)

    async def list_orders(self) -> tuple[OrderUrl, ...] | None:
        """The account's orders (§7.1.2.1), page after page; None when the CA keeps no list (Boulder).

        Raises CaProtocolError for a list that does not end.
        """
        page = (await self.fetch_account()).orders_url
        if not page:
            return None
        found: dict[OrderUrl, None] = {}
        pages: set[str] = set()
        while page:
            if page in pages or len(pages) == _MOST_PAGES:
                raise CaProtocolError(f"{self._talk.what}: the list of orders does not end")
            pages.add(page)
            reply = await self._talk.exchange.fetch(Kind.ORDERS, page)
            found.update(dict.fromkeys(map(OrderUrl, self._talk.document(reply, Kind.ORDERS).urls("orders"))))
            following = links(reply.all("Link"), "next", reply.url)
            page = self._talk.transport.origin.check(following[0], "orders: next") if following else ""
        return tuple(found)

    # Orders (§7.4)

    async def new_order(self, wanted: NewOrder) -> Order:
        """NewOrder. `replaces` goes only to a CA with ARI; a refusal that concerns it is repeated once without.

        Raises ConfigError for a profile that the CA does not advertise, and for validity dates that it does not take.
        """
        await self._check_wanted(wanted)
        if wanted.replaces and not (await self.directory()).renewal_info:
            wanted = replace(wanted, replaces=None)
        try:
            return await self._place(wanted)
        except CaRefused as refusal:
            if not wanted.replaces or not refusal.problem.concerns_replaces:
                raise
        return await self._place(replace(wanted, replaces=None))

    async def fetch_order(self, url: OrderUrl) -> Order:
        """The order's state. Raises CaProtocolError when it is not a later state of what was seen before (R19, R22)."""
        return self._talk.order(await self._talk.exchange.fetch(Kind.ORDER, url), url)

    async def finalize(self, order: Order, csr_der: bytes) -> Order:
        """Send the CSR (§7.4). After badCSR the order is still ready; after orderNotReady, poll it."""
        if not order.finalize:
            raise CaProtocolError(f"order {order.url}: the CA names no finalize URL")
        reply = await self._talk.exchange.post(Kind.FINALIZE, order.finalize, finalization(csr_der))
        finalized = self._talk.order(reply, order.url)
        same_order(Trace.of(order), finalized)
        return finalized

    async def download(self, order: Order, *, alternates: bool = False) -> Chains:
        """The chain of a valid order, and if *alternates* those that the CA links (§7.4.2). Safe to repeat.

        Raises CaProtocolError for anything but certificates in the default chain; such an alternate is left out.
        """
        if not order.certificate:
            raise CaProtocolError(f"order {order.url}: the CA names no certificate URL")
        reply = await self._talk.exchange.fetch(Kind.CERTIFICATE, order.certificate)
        default = certificate.read_chain(reply.body, f"certificate {order.certificate}")
        urls = certificate.alternates(reply, self._talk.transport.origin) if alternates else ()
        found = [await self._alternate(url, default) for url in urls]
        return Chains(default, tuple(chain for chain in found if chain is not None))

    async def renewal_info(self, cert: CertId) -> RenewalInfo:
        """When the CA would like *cert* to be renewed (RFC 9773 §4); unauthenticated."""
        base = await self._talk.resource(Kind.RENEWAL_INFO, lambda d: d.renewal_info)
        reply = await self._talk.exchange.get(Kind.RENEWAL_INFO, renewal_info.renewal_info_url(base, cert))
        document = self._talk.document(reply, Kind.RENEWAL_INFO)
        return renewal_info.read_renewal_info(document, self._clock.now(), self._talk.exchange.retry_after(reply))

    # Authorizations and challenges (§7.5)

    async def new_authorization(self, identifier: Identifier) -> Authorization:
        """Pre-authorization (§7.4.1), where the CA offers it; not for wildcards."""
        payload = authorization.new_authorization(identifier)
        reply = await self._talk.post_to(Kind.NEW_AUTHZ, lambda d: d.new_authz, lambda _: payload)
        return self._talk.authorization(reply, self._talk.location(reply, Kind.NEW_AUTHZ))

    async def fetch_authorization(self, url: str) -> Authorization:
        """Raises CaProtocolError for a status that cannot follow the one seen before (R22)."""
        return self._talk.authorization(await self._talk.exchange.fetch(Kind.AUTHORIZATION, url), url)

    async def deactivate_authorization(self, url: str) -> Authorization:
        """Give it up (§7.5.2); its order becomes invalid."""
        reply = await self._talk.exchange.post(Kind.AUTHORIZATION, url, authorization.DEACTIVATED)
        return self._talk.authorization(reply, url)

    async def answer(self, challenge: Challenge) -> Challenge:
        """Tell the CA that it may validate (§7.5.1: the payload is `{}`)."""
        reply = await self._talk.exchange.post(Kind.CHALLENGE, challenge.url, EMPTY_OBJECT)
        document = self._talk.document(reply, Kind.CHALLENGE)
        return answered(challenge, document, self._talk.exchange.retry_after(reply))

    # Revocation (§7.6)

    async def revoke(self, leaf_der: bytes, reason: RevocationReason = RevocationReason.UNSPECIFIED) -> None:
        """Revoke with the account's signature. Safe to repeat: alreadyRevoked is success."""
        await self._revoke(leaf_der, reason, None)

    async def revoke_with_certificate_key(
        self, key: SigningKey, leaf_der: bytes, reason: RevocationReason = RevocationReason.UNSPECIFIED
    ) -> None:
        """Revoke with the certificate's own key, whoever's account it was; needs no account."""
        await self._revoke(leaf_der, reason, Signer(key))

    async def _revoke(self, leaf_der: bytes, reason: RevocationReason, by_key: Signer | None) -> None:
        payload = revocation(leaf_der, reason, self._quirks)
        try:
            await self._talk.post_to(Kind.REVOKE, lambda d: d.revoke_cert, lambda _: payload, by_key=by_key)
        except CaRefused as refusal:
            if refusal.problem.reaction is not Reaction.SUCCESS:
                raise

    async def _prove(self, new: Signer, own: AccountUrl) -> None:
        """Pebble 2.10 answers 200 to a key that another account has, and changes nothing: a success needs a proof."""
        talk = self._talk
        try:
            reply = await talk.post_to(
                Kind.NEW_ACCOUNT, lambda d: d.new_account, lambda _: account.ONLY_EXISTING, by_key=new
            )
        except CaRefused as refusal:
            # A replica may lag behind: a refusal here must not make anybody forget the new key.
            raise CaUnreachable(
                f"{talk.what}: keyChange: the CA took the new key, and does not know it: {refusal.problem}",
                hint="both keys are kept; the next use of this account finds out which of them it has",
            ) from refusal
        owner = talk.location(reply, Kind.NEW_ACCOUNT)
        if owner != own:
            problem = Problem(f"{URN}conflict", f"the new key belongs to the account {clean(owner, 512)}", 409)
            raise CaRefused(f"{talk.what}: keyChange", problem)

    async def _new_account(self, payload: Callable[[str], bytes]) -> Account:
        signer = self._talk.exchange.signer
        reply = await self._talk.post_to(Kind.NEW_ACCOUNT, lambda d: d.new_account, payload, by_key=signer)
        url = AccountUrl(self._talk.location(reply, Kind.NEW_ACCOUNT))
        found = account.read_account(self._talk.document(reply, Kind.NEW_ACCOUNT), url)
        self._talk.belongs_to(url)
        return found

    async def _change_account(self, payload: bytes) -> Account:
        own = self._talk.own_url()
        reply = await self._talk.exchange.post(Kind.ACCOUNT, own, payload)
        return account.read_account(self._talk.document(reply, Kind.ACCOUNT), own)

    async def _check_wanted(self, wanted: NewOrder) -> None:
        """What is known to be refused is not sent."""
        profiles = (await self.directory()).profiles or {}
        if wanted.profile and wanted.profile not in profiles:
            # "Clients SHOULD NOT" ask for a profile that is not advertised; it may be newer than our directory.
            offered = (await self._talk.endpoints.newest()).profiles or {}
            if wanted.profile not in offered:
                names = ", ".join(sorted(offered)) or "none"
                raise ConfigError(
                    f"profile {clean(wanted.profile, 64)!r}: {self._talk.what} offers {names}",
                    hint="--profile takes one of these; without it the CA chooses",
                )
        if (wanted.not_before or wanted.not_after) and not self._quirks.takes_validity:
            raise ConfigError(f"{self._talk.what}: this CA takes no dates of validity in an order")

    async def _place(self, wanted: NewOrder) -> Order:
        payload = new_order(wanted)
        reply = await self._talk.post_to(Kind.NEW_ORDER, lambda d: d.new_order, lambda _: payload)
        return self._talk.order(reply, OrderUrl(self._talk.location(reply, Kind.NEW_ORDER)))

    async def _alternate(self, url: str, default: Chain) -> Chain | None:
        """Another chain for the same leaf; None for one that is unusable, because the default one is at hand."""
        try:
            reply = await self._talk.exchange.fetch(Kind.CERTIFICATE, url)
            chain = certificate.read_chain(reply.body, f"certificate {url}")
        except CaProtocolError:
            return None
        return chain if chain.leaf == default.leaf else None
