"""Schema version 1 of the ledger, in SQL that SQLite and PostgreSQL both read with small changes.

Rules: ids are made by us (text), times are UTC microseconds since 1970 (INTEGER), statuses are words, documents are
JSON text. Rows that a node writes for others to take over carry that node and its epoch. A newer schema is refused.
"""

VERSION = 1

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE nodes (node TEXT PRIMARY KEY, epoch INTEGER NOT NULL, started_at INTEGER NOT NULL) STRICT;

CREATE TABLE directories (issuer TEXT PRIMARY KEY, document TEXT NOT NULL, fetched_at INTEGER NOT NULL) STRICT;

-- blob: what the kind of key store needs, kek: the key-encryption key that sealed it, if any
CREATE TABLE keys (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, type TEXT NOT NULL, blob BLOB NOT NULL, public_der BLOB NOT NULL,
  kek TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE accounts (
  id TEXT PRIMARY KEY, issuer TEXT NOT NULL, key_id TEXT NOT NULL REFERENCES keys (id), url TEXT NOT NULL,
  status TEXT NOT NULL, contact TEXT NOT NULL, created_at INTEGER NOT NULL, next_key_id TEXT REFERENCES keys (id)
) STRICT;
CREATE UNIQUE INDEX one_account_per_url ON accounts (issuer, url) WHERE url <> '';

CREATE TABLE desired (
  name TEXT PRIMARY KEY, source TEXT NOT NULL, document TEXT NOT NULL, updated_at INTEGER NOT NULL
) STRICT;

-- the journal of open effects begins here: an order row exists before newOrder is sent
CREATE TABLE orders (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, set_key TEXT NOT NULL, issuer TEXT NOT NULL,
  account_id TEXT NOT NULL REFERENCES accounts (id), key_id TEXT REFERENCES keys (id), csr BLOB NOT NULL,
  profile TEXT NOT NULL, preferred_chain TEXT NOT NULL, replaces TEXT, reason TEXT NOT NULL, state TEXT NOT NULL,
  created_at INTEGER NOT NULL, url TEXT UNIQUE, certificate_url TEXT NOT NULL, expires_at INTEGER,
  ended_because TEXT NOT NULL, node TEXT NOT NULL, epoch INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open_order_per_name ON orders (name) WHERE state NOT IN ('done', 'dead');
CREATE UNIQUE INDEX one_open_order_per_set ON orders (issuer, set_key) WHERE state NOT IN ('done', 'dead');
CREATE INDEX orders_by_key ON orders (key_id);

CREATE TABLE proofs (
  id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders (id), authorization_url TEXT NOT NULL,
  type TEXT NOT NULL, identifier TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, zone TEXT NOT NULL,
  method TEXT NOT NULL, options TEXT NOT NULL, state TEXT NOT NULL, created_at INTEGER NOT NULL,
  withdraw_at INTEGER, node TEXT NOT NULL, epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX open_proofs ON proofs (order_id) WHERE state <> 'withdrawn';
CREATE INDEX proofs_by_order ON proofs (order_id);

CREATE TABLE generations (
  name TEXT NOT NULL, number INTEGER NOT NULL, issuer TEXT NOT NULL, order_id TEXT NOT NULL UNIQUE,
  key_id TEXT REFERENCES keys (id), set_key TEXT NOT NULL, key_type TEXT NOT NULL, profile TEXT NOT NULL,
  chain TEXT NOT NULL, serial TEXT NOT NULL, cert_id TEXT, fingerprint TEXT NOT NULL, not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL, reason TEXT NOT NULL, created_at INTEGER NOT NULL, csr_given INTEGER NOT NULL,
  revoked_at INTEGER, node TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY (name, number)
) STRICT;
CREATE INDEX generations_by_key ON generations (key_id);

CREATE TABLE renewals (
  name TEXT NOT NULL, number INTEGER NOT NULL, issuer TEXT NOT NULL, cert_id TEXT, window_start INTEGER NOT NULL,
  window_end INTEGER NOT NULL, due_at INTEGER NOT NULL, by_ca INTEGER NOT NULL, explanation_url TEXT NOT NULL,
  next_fetch_at INTEGER, PRIMARY KEY (name, number)
) STRICT;
CREATE INDEX renewals_due ON renewals (due_at);

CREATE TABLE scopes (
  kind TEXT NOT NULL, issuer TEXT NOT NULL, key TEXT NOT NULL, failures INTEGER NOT NULL, blocked_until INTEGER,
  firm_until INTEGER, problem TEXT NOT NULL, detail TEXT NOT NULL, updated_at INTEGER NOT NULL,
  PRIMARY KEY (kind, issuer, key)
) STRICT;

CREATE TABLE failures (
  kind TEXT NOT NULL, issuer TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, problem TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX failures_by_scope ON failures (kind, issuer, key, at);

CREATE TABLE observations (
  kind TEXT NOT NULL, subject TEXT NOT NULL, at INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, subject, at)
) STRICT;

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  document TEXT NOT NULL, node TEXT NOT NULL, epoch INTEGER NOT NULL
) STRICT;

CREATE TABLE cursors (consumer TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT;
"""
