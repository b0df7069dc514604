"""`certd revoke NAME|FILE`: by the account that ordered it, or by the certificate's own key (RFC 8555 §7.6)."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from certd.app.dev import reachable
from certd.app.house import House, open_house
from certd.app.issuers import Issuer, parse_server, title_of
from certd.app.place import Place
from certd.keys.certificates import chain_from_pem, load_certificate, parse_leaf
from certd.model.acme import AccountStatus, RevocationReason
from certd.model.errors import CertdError, ConfigError
from certd.model.events import CertificateRevoked
from certd.model.identifiers import CertName, default_name, parse_identifier
from certd.model.keys import SigningKey
from certd.model.records import AccountRecord, Generation
from certd.model.steps import Step, step

_LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """`what`: a certificate's name, or a file with it (PEM or DER).

    `key`: a file with its private key, for certificates that no account of the ledger ordered.
    """

    what: str
    reason: RevocationReason
    state_dir: Path
    server: str = ""
    ca_bundle: Path | None = None
    key: Path | None = None
    wait: float = 60.0


@dataclass(frozen=True, slots=True)
class RevokeResult:
    """`name` empty, `generation` 0: a certificate that certd did not issue. `by`: `account` or `certificate key`."""

    serial: str
    issuer: str
    reason: RevocationReason
    by: str
    name: str = ""
    generation: int = 0
    was_revoked: bool = False


@dataclass(frozen=True, slots=True)
class _Target:
    leaf: bytes
    generation: Generation | None


async def revoke(request: RevokeRequest) -> RevokeResult:
    """Tell the CA, and remember it: a revoked generation is replaced by the next `certd issue`. Safe to repeat.

    Raises ConfigError (no such certificate; no account and no key to sign with), CaError, StorageError.
    """
    given = _read(request.key) if request.key is not None else None
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(_house(request))
        target = await _find(request, house)
        generation, facts = target.generation, parse_leaf(target.leaf)
        issuer = _issuer(request, generation)
        there = await stack.enter_async_context(reachable(issuer, house.place))
        own_key = await _own_key(house, generation, given, str(request.key))
        if own_key is not None and own_key.public_der != facts.public_der:
            raise ConfigError(f"{request.key}: this is not the key of the certificate {facts.serial}")
        # Whoever gives a key means it: an account at the same CA need not be the one that ordered.
        account = await _account(house, issuer, generation) if given is None else None
        by = await _send(house, there, request.reason, target.leaf, account, own_key)
        await _remember(house, generation, request.reason)
    return RevokeResult(
        serial=facts.serial,
        issuer=title_of(issuer.id),
        reason=request.reason,
        by=by,
        name=generation.name if generation else "",
        generation=generation.number if generation else 0,
        was_revoked=generation is not None and generation.revoked_at is not None,
    )


@asynccontextmanager
async def _house(request: RevokeRequest) -> AsyncIterator[House]:
    """The state directory; where there is none yet, one that is thrown away: revoking makes nothing to keep."""
    if Place(request.state_dir).has_ledger():
        async with open_house(request.state_dir, wait=request.wait) as house:
            yield house
        return
    with tempfile.TemporaryDirectory(prefix="certd-revoke-") as folder:
        async with open_house(Path(folder), wait=request.wait) as house:
            yield house


async def _find(request: RevokeRequest, house: House) -> _Target:
    """A name of ours first, as people write it; else a file, whose certificate may be one of ours."""
    for name in _names(request.what):
        if (found := await house.ledger.newest_generation(name)) is not None:
            return _Target(chain_from_pem(found.chain).leaf, found)
    leaf = _read_leaf(Path(request.what))
    if leaf is None:
        raise _unknown(request, await house.ledger.names())
    return _Target(leaf, await house.ledger.generation_by_fingerprint(parse_leaf(leaf).fingerprint))


def _names(what: str) -> tuple[CertName, ...]:
    try:
        return CertName(what), default_name([parse_identifier(what)])
    except ConfigError:
        return (CertName(what),)


def _unknown(request: RevokeRequest, names: Sequence[CertName]) -> ConfigError:
    known = f" (there are: {', '.join(names)})" if names else ""
    return ConfigError(
        f"{request.what}: neither the name of a certificate in {request.state_dir}{known} nor a file",
        hint="give a name as in certd issue --name, or the file with the certificate",
    )


def _read_leaf(path: Path) -> bytes | None:
    """The certificate in a file, the first one of a chain; None where there is no such file. Raises ConfigError."""
    if not path.is_file():
        return None
    data = _read(path)
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return chain_from_pem(data.decode("ascii", "replace")).leaf
        load_certificate(data)
    except CertdError as error:
        raise ConfigError(f"{path}: no certificate in it that can be read (PEM or DER)") from error
    return data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _issuer(request: RevokeRequest, generation: Generation | None) -> Issuer:
    if generation is not None:
        issuer = parse_server(generation.issuer, request.ca_bundle)
        if request.server and parse_server(request.server, None).id != issuer.id:
            raise ConfigError(f"{request.what}: {issuer.title} issued it, and only that CA can revoke it")
        return issuer
    if not request.server:
        raise ConfigError(
            f"{request.what}: certd did not issue this certificate, so it does not know its CA",
            hint="add --server CA, and --key FILE where no account of this state directory ordered it",
        )
    return parse_server(request.server, request.ca_bundle)


async def _own_key(house: House, generation: Generation | None, given: bytes | None, source: str) -> SigningKey | None:
    if given is not None:
        return await house.keys.open(house.keys.import_key(given, source))
    if generation is None or generation.key_id is None:
        return None
    return await house.keys.open(await house.ledger.key(generation.key_id))


async def _account(house: House, issuer: Issuer, generation: Generation | None) -> AccountRecord | None:
    """The account that ordered it, else any usable one at its CA."""
    usable = [row for row in await house.ledger.accounts(issuer.id) if row.url and row.status is AccountStatus.VALID]
    order = await house.ledger.order(generation.order_id) if generation is not None else None
    mine = [row for row in usable if order is not None and row.id == order.account_id]
    return next(iter(mine or usable[-1:]), None)


async def _send(
    house: House,
    issuer: Issuer,
    reason: RevocationReason,
    leaf: bytes,
    account: AccountRecord | None,
    own_key: SigningKey | None,
) -> str:
    # Signed by the compromised key itself, the CA blocks that key for everybody (CA/B Forum BR 4.9.1.1); and a
    # certificate whose account is gone can be revoked in no other way.
    if own_key is not None and (account is None or reason is RevocationReason.KEY_COMPROMISE):
        async with house.converse(issuer, own_key, None) as ca:
            with step(Step.REVOCATION_SENT):
                await ca.revoke_with_certificate_key(own_key, leaf, reason)
        return "certificate key"
    if account is None:
        raise ConfigError(
            f"{issuer.title}: no account of this state directory, and no key of the certificate, to sign with",
            hint="add --key FILE, the certificate's private key",
        )
    key = await house.keys.open(await house.ledger.key(account.key_id))
    async with house.converse(issuer, key, account.url) as ca:
        with step(Step.REVOCATION_SENT):
            await ca.revoke(leaf, reason)
    return "account"


async def _remember(house: House, generation: Generation | None, reason: RevocationReason) -> None:
    if generation is None or generation.revoked_at is not None:
        return
    row = replace(generation, revoked_at=house.clock.now())
    event = CertificateRevoked(row.name, row.number, row.issuer, reason.name.lower())
    await house.ledger.commit(None, Step.REVOCATION_STORED, row, events=[event])
