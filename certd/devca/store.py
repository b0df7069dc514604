"""What this CA knows, in memory; with a state directory also in one SQLite file, so that a restart forgets nothing.

Reads are dictionary look-ups, writes go through `put`. Losing the last moments in a power cut is fine for a CA of
this kind (`synchronous=NORMAL`); losing them in a kill is not, and does not happen.
"""

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certd.devca.record_json import from_json, to_json
from certd.devca.records import (
    Account,
    Authorization,
    AuthorizationStatus,
    Certificate,
    Identifier,
    Order,
    OrderStatus,
)

Record = Account | Authorization | Certificate | Order
KINDS: tuple[type[Record], ...] = (Account, Authorization, Certificate, Order)
KEY_COMPROMISE = 1  # RFC 5280 §5.3.1
CLOSED = (OrderStatus.VALID, OrderStatus.INVALID, OrderStatus.PROCESSING)
VERSION = 1
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS record (
  number INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (kind, id)
);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
PUT = """
INSERT INTO record (kind, id, value) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value
"""


class StateUnusable(Exception):
    """The state directory cannot be used; the message says which and why."""


OrderKey = tuple[str, frozenset[Identifier], str]


class Store:
    """Records by id, and by what else they are looked up; in the order in which they were made."""

    def __init__(self, path: Path | None = None) -> None:
        self.accounts: dict[str, Account] = {}
        self.orders: dict[str, Order] = {}
        self.authorizations: dict[str, Authorization] = {}
        self.certificates: dict[str, Certificate] = {}
        self._by_thumbprint: dict[str, str] = {}
        self._by_cert_id: dict[str, str] = {}
        self._by_leaf: dict[bytes, str] = {}
        self._by_challenge: dict[str, str] = {}
        self._orders_of: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._authorizations_of: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._replacing: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._open: defaultdict[OrderKey, dict[str, None]] = defaultdict(dict)
        self._valid: dict[tuple[str, Identifier], str] = {}
        self._compromised: set[bytes] = set()
        self._database = _opened(path) if path is not None else None
        for record in self._stored():
            self._remember(record)

    def put(self, *records: Record) -> None:
        """Keep *records*, in place of those with the same ids; all of them or none."""
        if self._database is not None:
            rows = [(type(each).__name__, each.id, to_json(each)) for each in records]
            with self._database:
                self._database.executemany(PUT, rows)
        for record in records:
            self._remember(record)

    def fact(self, name: str, otherwise: str) -> str:
        """A text that was chosen once for this state directory: *otherwise* the first time."""
        if self._database is None:
            return otherwise
        with self._database:
            self._database.execute("INSERT OR IGNORE INTO fact VALUES (?, ?)", (name, otherwise))
        value: str = self._database.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()[0]
        return value

    def change_fact(self, name: str, value: str) -> None:
        if self._database is not None:
            with self._database:
                self._database.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def account_with(self, thumbprint: str) -> Account | None:
        found = self._by_thumbprint.get(thumbprint)
        return self.accounts[found] if found is not None else None

    def certificate_with(self, cert_id: str) -> Certificate | None:
        """By the certificate id of RFC 9773 §4.1."""
        found = self._by_cert_id.get(cert_id)
        return self.certificates[found] if found is not None else None

    def certificate_of(self, leaf: bytes) -> Certificate | None:
        found = self._by_leaf.get(hashlib.sha256(leaf).digest())
        return self.certificates[found] if found is not None else None

    def compromised(self, spki: bytes) -> bool:
        """Whether a certificate of this key was revoked for keyCompromise."""
        return spki in self._compromised

    def orders_of(self, account: str) -> list[Order]:
        """Oldest first."""
        return [self.orders[each] for each in self._orders_of[account]]

    def open_orders(self, account: str, identifiers: Iterable[Identifier], profile: str) -> list[Order]:
        """Those that were pending or ready when they were last stored."""
        return [self.orders[each] for each in self._open.get((account, frozenset(identifiers), profile), ())]

    def orders_replacing(self, cert_id: str) -> list[Order]:
        return [self.orders[each] for each in self._replacing.get(cert_id, ())]

    def authorizations_of(self, account: str) -> list[Authorization]:
        return [self.authorizations[each] for each in self._authorizations_of[account]]

    def authorization_of(self, challenge: str) -> Authorization | None:
        found = self._by_challenge.get(challenge)
        return self.authorizations[found] if found is not None else None

    def valid_authorization(self, account: str, identifier: Identifier, now: datetime) -> Authorization | None:
        """The newest one that is valid *now*."""
        found = self._valid.get((account, identifier))
        authorization = self.authorizations[found] if found is not None else None
        if authorization is None or authorization.at(now) is not AuthorizationStatus.VALID:
            return None
        return authorization

    def _remember(self, record: Record) -> None:
        match record:
            case Account():
                self._remember_account(record)
            case Order():
                self._remember_order(record)
            case Authorization():
                self._remember_authorization(record)
            case Certificate():
                self._remember_certificate(record)

    def _remember_account(self, record: Account) -> None:
        before = self.accounts.get(record.id)
        if before is not None:
            self._by_thumbprint.pop(before.thumbprint, None)
        self.accounts[record.id] = record
        self._by_thumbprint[record.thumbprint] = record.id

    def _remember_order(self, record: Order) -> None:
        self.orders[record.id] = record
        self._orders_of[record.account][record.id] = None
        if record.replaces is not None:
            self._replacing[record.replaces][record.id] = None
        key = record.account, frozenset(record.identifiers), record.profile
        if record.status in CLOSED:
            self._open[key].pop(record.id, None)
        else:
            self._open[key][record.id] = None

    def _remember_authorization(self, record: Authorization) -> None:
        self.authorizations[record.id] = record
        self._authorizations_of[record.account][record.id] = None
        self._by_challenge.update((each.id, record.id) for each in record.challenges)
        if record.status is AuthorizationStatus.VALID:
            self._valid[record.account, record.identifier] = record.id

    def _remember_certificate(self, record: Certificate) -> None:
        self.certificates[record.id] = record
        self._by_cert_id[record.cert_id] = record.id
        self._by_leaf[hashlib.sha256(record.leaf).digest()] = record.id
        if record.revocation_reason == KEY_COMPROMISE:
            key = x509.load_der_x509_certificate(record.leaf).public_key()
            self._compromised.add(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def _stored(self) -> Iterable[Record]:
        if self._database is None:
            return
        kinds = {each.__name__: each for each in KINDS}
        for kind, value in self._database.execute("SELECT kind, value FROM record ORDER BY number"):
            yield from_json(kinds[kind], value)


def _opened(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    path.chmod(0o600)
    database = sqlite3.connect(path)
    try:
        _prepare(database)
    except (sqlite3.Error, StateUnusable) as error:
        database.close()
        raise StateUnusable(f"{path}: {error}") from error
    return database


def _prepare(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StateUnusable(f"written by a newer devca (version {version}, known is {VERSION})")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(SCHEMA)
