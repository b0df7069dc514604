"""What must hold whatever happened (design, invariants 1 to 6): at the instant of a death, and when all is done.

Shares no code with certd: it reads SQLite, files and what the CA remembers, and looks at keys and certificates itself.
Each check yields sentences; none is what a test wants.
"""

import base64
import hashlib
import itertools
import json
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

FILES = {"cert.pem", "chain.pem", "fullchain.pem", "privkey.pem", "bundle.pem"}
SECRET = {"privkey.pem", "bundle.pem", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}


@dataclass(frozen=True, slots=True)
class CaRecord:
    """What the CA remembers."""

    accounts: Sequence[str]  # thumbprints of their keys
    orders: Sequence[str]  # status as of now
    leaves: Sequence[bytes]  # DER
    roots: Sequence[str]  # PEM
    failed: int  # authorizations


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is looked at. `published`: TXT values in the zone that are not somebody else's, by name."""

    state: Path
    ca: CaRecord
    published: Mapping[str, set[str]]


@dataclass(frozen=True, slots=True)
class Goal:
    """How it should have ended: one certificate for each generation that was wanted, by so many orders."""

    name: str
    names: frozenset[str]
    generations: int
    orders: int
    accounts: int = 1  # usable ones
    left_open: int = 0  # orders at the CA that nobody knows of
    pruned: int = 0  # generations, the oldest


def broken_now(seen: Seen, pruned: int = 0) -> list[str]:
    """What must hold at every instant, certd running or dead. *pruned*: generations that may be forgotten."""
    return [*_files(seen.state), *_ledger_now(seen, read_ledger(seen.state), pruned)]


def broken_at_the_end(seen: Seen, goal: Goal) -> list[str]:
    """And what must hold once the command has said that it is done."""
    return [
        *broken_now(seen, goal.pruned),
        *_ledger_done(seen, goal, read_ledger(seen.state)),
        *_ca_done(seen.ca, goal),
        *_installed(seen, goal),
    ]


# Files


def _files(state: Path) -> Iterator[str]:
    for path in (state, *state.rglob("*")) if state.exists() else ():
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() and mode != 0o700:
            yield f"{path}: mode {mode:04o}"
        if path.name in SECRET and mode != 0o600:
            yield f"{path}: mode {mode:04o}, and it holds keys"
    for path in state.glob("generations/*/*"):
        if path.name.isdigit():
            yield from _whole(path)
    for link in state.glob("live/*"):
        if not link.name.startswith("."):
            yield from _whole(link)


def _whole(directory: Path) -> Iterator[str]:
    """A generation is there whole: five files, and the key is the leaf's."""
    try:
        content = {path.name: path.read_bytes() for path in directory.iterdir()}
    except OSError as error:
        yield f"{directory}: {error}"
        return
    if set(content) != FILES:
        yield f"{directory}: holds {sorted(content)}"
        return
    leaf = x509.load_pem_x509_certificate(content["cert.pem"])
    if _spki(load_pem_private_key(content["privkey.pem"], None)) != _spki(leaf):
        yield f"{directory}: key and certificate do not belong together"
    if content["fullchain.pem"] != content["cert.pem"] + content["chain.pem"]:
        yield f"{directory}: fullchain.pem is not cert.pem and chain.pem"
    if content["bundle.pem"] != content["privkey.pem"] + content["fullchain.pem"]:
        yield f"{directory}: bundle.pem is not privkey.pem and fullchain.pem"


# The ledger


Tables = Mapping[str, list[dict[str, Any]]]
TABLES = ("keys", "accounts", "orders", "proofs", "generations", "renewals", "failures", "scopes", "outbox", "meta")
CHECKS = ("pragma_integrity_check", "pragma_foreign_key_check")


def read_ledger(state: Path) -> Tables:
    """Its tables as they are on the disk, read from a copy: looking changes nothing, and needs no lock."""
    empty: Tables = {name: [] for name in (*TABLES, *CHECKS)}
    if not (state / "ledger.sqlite").exists():
        return empty
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            if (state / name).exists():
                shutil.copy(state / name, folder)
        with closing(sqlite3.connect(Path(folder) / "ledger.sqlite")) as connection:
            connection.row_factory = sqlite3.Row
            (made,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            names = (*TABLES, *CHECKS) if made else CHECKS
            found = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608
    return {**empty, **found}


def _ledger_now(seen: Seen, tables: Tables, pruned: int) -> Iterator[str]:
    found = [*tables["pragma_integrity_check"], *tables["pragma_foreign_key_check"]]
    if found not in ([], [{"integrity_check": "ok"}]):
        yield f"ledger: {found}"
    keys = [load_der_private_key(row["blob"], None) for row in tables["keys"]]
    if len(seen.ca.accounts) > 1:
        yield f"{len(seen.ca.accounts)} accounts at the CA"
    if orphans := set(seen.ca.accounts) - set(map(_thumbprint, keys)):
        yield f"accounts at the CA whose key nobody has: {orphans}"
    known = set(map(_spki, keys))
    lost = [der for der in seen.ca.leaves if _spki(x509.load_der_x509_certificate(der)) not in known]
    if len(lost) > pruned:
        yield f"{len(lost)} certificates were bought whose key nobody has"
    urls = [row["url"] for row in tables["orders"] if row["url"]]
    if len(urls) != len(set(urls)):
        yield "an order's URL stands twice in the journal"
    journal = {(row["name"], row["value"]) for row in tables["proofs"] if row["state"] != "withdrawn"}
    for name, values in seen.published.items():
        if unknown := {value for value in values if (name, value) not in journal}:
            yield f"published, and not in the journal: {name} {unknown}"


def _ledger_done(seen: Seen, goal: Goal, tables: Tables) -> Iterator[str]:
    accounts = [row for row in tables["accounts"] if row["status"] == "valid" and row["url"]]
    if len(accounts) != goal.accounts or any(row["next_key_id"] for row in accounts):
        yield f"accounts in the ledger: {accounts}"
    if unfinished := [row["state"] for row in tables["orders"] if row["state"] not in {"done", "dead"}]:
        yield f"orders that are open: {unfinished}"
    if left := [row["state"] for row in tables["proofs"] if row["state"] != "withdrawn"]:
        yield f"proofs that are not withdrawn: {left}"
    if seen.published:
        yield f"records left in the world: {seen.published}"
    generations = tables["generations"]
    bought = {hashlib.sha256(der).hexdigest() for der in seen.ca.leaves}
    if not {row["fingerprint"] for row in generations} <= bought or len(generations) != len(bought) - goal.pruned:
        yield f"{len(bought)} certificates were bought, {len(generations)} generations are in the ledger"
    if sorted(row["number"] for row in generations) != list(range(goal.pruned + 1, goal.generations + 1)):
        yield f"generations {[row['number'] for row in generations]}, and {goal.generations} were wanted"
    files = {path.name for path in seen.state.glob("generations/*/*")}
    if files != {str(row["number"]) for row in generations}:
        yield f"files of generations {files}"
    if missing := {row["number"] for row in generations} - {row["number"] for row in tables["renewals"]}:
        yield f"no moment of renewal for generations {missing}"
    if len(tables["failures"]) != seen.ca.failed:
        yield f"{seen.ca.failed} validations failed at the CA, {len(tables['failures'])} are counted"
    told = [json.loads(row["document"]) for row in tables["outbox"]]
    issued = [event["generation"] for event in told if event["event"] == "CertificateIssued"]
    if issued != list(range(1, goal.generations + 1)):
        yield f"told of generations {issued}"


# The CA


def _ca_done(ca: CaRecord, goal: Goal) -> Iterator[str]:
    if len(ca.leaves) != goal.generations:
        yield f"{len(ca.leaves)} certificates were bought, {goal.generations} were wanted"
    if len(ca.orders) != goal.orders:
        yield f"{len(ca.orders)} orders at the CA, {goal.orders} were needed"
    unfinished = [status for status in ca.orders if status not in {"valid", "invalid"}]
    if len(unfinished) != goal.left_open:
        yield f"left open at the CA: {unfinished}"


# What servers read


def _installed(seen: Seen, goal: Goal) -> Iterator[str]:
    for path in seen.state.rglob("*"):
        if path.name.startswith(".") and "quarantine" not in path.parts:  # there it goes when its order is pruned
            yield f"left over: {path}"
    if not goal.generations:
        return
    link = seen.state / "live" / goal.name
    if str(link.readlink()) != f"../generations/{goal.name}/{goal.generations}":
        yield f"{link} shows {link.readlink()}"
        return
    chain = x509.load_pem_x509_certificates((link / "fullchain.pem").read_bytes())
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if set(names.get_values_for_type(x509.DNSName)) != goal.names:
        yield f"{link}: the certificate is for {names}"
    roots = [x509.load_pem_x509_certificate(pem.encode()) for pem in seen.ca.roots]
    for below, above in itertools.pairwise(chain):
        if not _signed(below, above):
            yield f"{link}: the chain is broken"
    if not any(_signed(chain[-1], root) for root in roots):
        yield f"{link}: the chain leads to no root"


def _signed(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _spki(holder: Any) -> bytes:
    """Of a private key or a certificate."""
    public: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public


def _thumbprint(key: Any) -> str:
    """RFC 7638, for P-256 keys; other keys are no account's here."""
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return ""
    numbers = key.public_key().public_numbers()
    x, y = (_base64url(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
    text = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    return _base64url(hashlib.sha256(text.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
