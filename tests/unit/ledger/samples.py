"""One good record of each kind; what a test is about is given, the rest is plausible."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from certd.model.acme import AccountStatus, AccountUrl, CertId, ChallengeType, IssuerId, OrderUrl
from certd.model.events import CertificateIssued, OrderPlaced
from certd.model.identifiers import CertName, Identifier, IdentifierType, set_key
from certd.model.keys import KeyId, KeyRecord, KeyType
from certd.model.proofs import Proof, ProofId, ProofRecord, ProofState
from certd.model.records import (
    AccountRecord,
    DesiredRecord,
    DirectoryRecord,
    FailureRecord,
    Generation,
    Observation,
    OrderRecord,
    OrderState,
    Renewal,
    Scope,
    ScopeKind,
    ScopeRecord,
)
from tests.fakes.clock import START

ISSUER = IssuerId("https://ca.test/directory")
NAME = CertName("example.org")
DAY = timedelta(days=1)


def dns(name: str) -> Identifier:
    return Identifier(IdentifierType.DNS, name)


def key(id_: str = "key-1", blob: bytes = b"private") -> KeyRecord:
    return KeyRecord(KeyId(id_), "file", KeyType.EC256, blob, b"public")


ACCOUNT_KEY = key("account-key")
ACCOUNT = AccountRecord(
    id="account-1",
    issuer=ISSUER,
    key_id=ACCOUNT_KEY.id,
    url=AccountUrl("https://ca.test/account/1"),
    status=AccountStatus.VALID,
    contact=("mailto:ops@example.org",),
    created_at=START,
)
#: What an order's row needs before it.
GROUND = (ACCOUNT_KEY, ACCOUNT, key())


def order(id_: str = "order-1", name: str = NAME, **changes: Any) -> OrderRecord:
    plain = OrderRecord(
        id=id_,
        name=CertName(name),
        set_key=set_key([dns(name)]),
        issuer=ISSUER,
        account_id=ACCOUNT.id,
        key_id=KeyId("key-1"),
        csr=b"csr",
        profile="",
        preferred_chain="",
        replaces=None,
        reason="no certificate yet",
        state=OrderState.INTENT,
        created_at=START,
    )
    return replace(plain, **changes)


def placed(row: OrderRecord) -> OrderRecord:
    return replace(row, state=OrderState.PLACED, url=OrderUrl(f"https://ca.test/order/{row.id}"))


def proof(order_id: str = "order-1", id_: str = "proof-1", name: str = "token", **changes: Any) -> ProofRecord:
    plain = ProofRecord(
        id=ProofId(id_),
        order_id=order_id,
        authorization_url="https://ca.test/authz/1",
        proof=Proof(ChallengeType.HTTP_01, dns("example.org"), name, f"{name}.thumbprint"),
        method="listener",
        options="{}",
        state=ProofState.JOURNALLED,
        created_at=START,
    )
    return replace(plain, **changes)


def generation(number: int = 1, name: str = NAME, **changes: Any) -> Generation:
    plain = Generation(
        name=CertName(name),
        number=number,
        issuer=ISSUER,
        order_id=f"{name}-{number}",
        key_id=KeyId("key-1"),
        set_key=set_key([dns(name)]),
        key_type=KeyType.EC256,
        profile="",
        chain="-----BEGIN CERTIFICATE-----\n",
        serial=f"{number:x}",
        cert_id=CertId(f"aki.{number}"),
        fingerprint=f"{name}/{number}",
        not_before=START,
        not_after=START + 90 * DAY,
        reason="no certificate yet",
        created_at=START,
    )
    return replace(plain, **changes)


def renewal(number: int = 1, name: str = NAME, **changes: Any) -> Renewal:
    plain = Renewal(
        name=CertName(name),
        number=number,
        issuer=ISSUER,
        cert_id=CertId(f"aki.{number}"),
        window_start=START + 59 * DAY,
        window_end=START + 61 * DAY,
        due_at=START + 60 * DAY,
        by_ca=True,
        explanation_url="",
        next_fetch_at=START + timedelta(hours=6),
    )
    return replace(plain, **changes)


SCOPE = Scope(ScopeKind.IDENTIFIER, ISSUER, "example.org")


def waiting(scope: Scope = SCOPE, **changes: Any) -> ScopeRecord:
    plain = ScopeRecord(
        scope=scope,
        failures=2,
        blocked_until=START + timedelta(minutes=10),
        firm_until=None,
        problem="dns",
        detail="NXDOMAIN",
        updated_at=START,
    )
    return replace(plain, **changes)


def failure(scope: Scope = SCOPE, **changes: Any) -> FailureRecord:
    return replace(FailureRecord(scope, START, "dns", "NXDOMAIN"), **changes)


DIRECTORY = DirectoryRecord(ISSUER, '{"newNonce": "https://ca.test/nonce"}', START)
DESIRED = DesiredRecord(NAME, "one-shot", '{"profile": ""}', START)
OBSERVATION = Observation("clock", "https://ca.test/directory", START, '{"off": 0}')
PLACED = OrderPlaced(NAME, ISSUER, "https://ca.test/order/order-1", "no certificate yet")
ISSUED = CertificateIssued(NAME, 1, ISSUER, "1", START + 90 * DAY, "no certificate yet")
