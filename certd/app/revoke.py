"""`certd revoke NAME|FILE`: by the account that ordered it, or by the certificate's own key (RFC 8555 §7.6)."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
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
from certd.model.identifiers import CertName
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
    in_file = _read_leaf(Path(request.what))
    if in_file is None and not Place(request.state_dir).has_ledger():
        raise _unknown(request, ())
    key_data = _read(request.key) if request.key is not None else None
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(open_house(request.state_dir, wait=request.wait))
        target = await _find(request, house, in_file)
        issuer = _issuer(request, target.generation)
        there = await stack.enter_async_context(reachable(issuer, house.place))
        own_key = await _own_key(house, target.generation, key_data, str(request.key))
        account = await _account(house, issuer, target.generation)
        by = await _send(house, there, request.reason, target.leaf, account, own_key)
        await _remember(house, target.generation, request.reason)
    generation = target.generation
    return RevokeResult(
        serial=parse_leaf(target.leaf).serial,
        issuer=title_of(issuer.id),
        reason=request.reason,
        by=by,
        name=generation.name if generation else "",
        generation=generation.number if generation else 0,
        was_revoked=generation is not None and generation.revoked_at is not None,
    )


async def _find(request: RevokeRequest, house: House, in_file: bytes | None) -> _Target:
    """A name of ours first; else a file, whose certificate may be one of ours."""
    found = await house.ledger.newest_generation(CertName(request.what))
    if found is not None:
        return _Target(chain_from_pem(found.chain).leaf, found)
    if in_file is not None:
        return _Target(in_file, await house.ledger.generation_by_fingerprint(parse_leaf(in_file).fingerprint))
    raise _unknown(request, await house.ledger.names())


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
        raise ConfigError(f"{path}: {error}") from error
    return data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _issuer(request: RevokeRequest, generation: Generation | None) -> Issuer:
    if generation is not None:
        return parse_server(generation.issuer, request.ca_bundle)
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
