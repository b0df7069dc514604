"""A devca that runs: listener, API certificate, state directory, validations; and what a test may do from inside."""

import asyncio
import fcntl
import json
import random
import ssl
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from socket import socket

from aiohttp import web
from aiohttp.typedefs import Middleware
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certd.devca.app import DIRECTORY, make_app
from certd.devca.authority import ROUTES, Authority, Now, SetWindow, Sleep, Validation
from certd.devca.issue import (
    Signer,
    api_certificate,
    dump_issuer,
    key_pem,
    load_issuer,
    make_issuer,
    pem,
)
from certd.devca.nonces import Nonces
from certd.devca.options import Options, loopback
from certd.devca.records import Account, Certificate, Order
from certd.devca.store import StateUnusable, Store
from certd.devca.validation import Validations

SHUTDOWN = 1.0  # seconds that requests under way get
REMEMBERED = 10_000  # validations


def utc_now() -> datetime:
    """The only look at the machine's clock in devca."""
    return datetime.now(UTC)


class StateDirInUse(StateUnusable):
    """Another devca runs on this state directory."""


@dataclass(frozen=True, slots=True)
class DevCa:
    """A running CA. `root_pem`, also in the file `root_path`, is the one root to trust: for its API and its leaves."""

    directory_url: str
    root_pem: str
    root_path: Path
    alternate_roots: tuple[str, ...]  # PEM
    options: Options
    _authority: Authority

    @staticmethod
    @asynccontextmanager
    async def start(
        options: Options | None = None,
        *,
        listener: socket | None = None,
        middlewares: Iterable[Middleware] = (),
        rng: random.Random | None = None,
        now: Now = utc_now,
        sleep: Sleep = asyncio.sleep,
    ) -> AsyncIterator["DevCa"]:
        """Run until the block ends. *listener*: bound on loopback, in place of the options' host and port.

        Raises StateDirInUse, StateUnusable, and OSError for a port that is taken.
        """
        options = options or Options()
        address: str = listener.getsockname()[0] if listener is not None else options.host
        if not loopback(address):
            raise ValueError(f"{address}: devca listens on loopback addresses only")
        chance = rng if rng is not None else random.SystemRandom()
        with _state(options.state_dir) as (folder, store):
            validations = Validations()
            authority = _authority(options, store, chance, now, sleep, validations)
            root = authority.issuer.roots[0]
            root_path = folder / "root.pem"
            root_path.write_text(pem(root.certificate))
            context = _server_context(root, address, folder)
            ports = _ports(options, store)
            async with (
                _validating(validations, authority),
                _listening(make_app(authority, middlewares), address, ports, listener, context) as port,
            ):
                store.change_fact("port", str(port))
                host = f"[{address}]" if ":" in address else address
                yield DevCa(
                    directory_url=f"https://{host}:{port}{DIRECTORY}",
                    root_pem=pem(root.certificate),
                    root_path=root_path,
                    alternate_roots=tuple(pem(each.certificate) for each in authority.issuer.roots[1:]),
                    options=options,
                    _authority=authority,
                )

    @property
    def accounts(self) -> Mapping[str, Account]:
        """By id, which is the end of their URL."""
        return self._authority.store.accounts

    @property
    def orders(self) -> Mapping[str, Order]:
        """As last stored; a status moves on when somebody asks for it."""
        return self._authority.store.orders

    @property
    def certificates(self) -> Mapping[str, Certificate]:
        return self._authority.store.certificates

    @property
    def validations(self) -> Sequence[Validation]:
        """The last looks at proofs, oldest first, the late ones too."""
        return list(self._authority.validations)

    def trust(self) -> ssl.SSLContext:
        """For a client of this CA's API, or of a server that shows one of its certificates."""
        return ssl.create_default_context(cadata=self.root_pem)

    def certificate_of(self, leaf_pem: str) -> Certificate:
        """The record of the first certificate in *leaf_pem*. Raises KeyError for one that is not ours."""
        leaf = x509.load_pem_x509_certificate(leaf_pem.encode())
        found = self._authority.store.certificate_of(leaf.public_bytes(Encoding.DER))
        if found is None:
            raise KeyError("not a certificate of this CA")
        return found

    def set_renewal_info(
        self, leaf_pem: str, start: datetime, end: datetime, explanation_url: str | None = None
    ) -> None:
        """Suggest this window from now on, whatever it says."""
        self._authority.windows[self.certificate_of(leaf_pem).cert_id] = SetWindow(start, end, explanation_url)

    def revoke(self, leaf_pem: str, reason: int = 0) -> None:
        """As a CA does after an incident; the renewal window then lies in the past."""
        found = self.certificate_of(leaf_pem)
        self._authority.store.put(replace(found, revoked_at=self._authority.now(), revocation_reason=reason))

    def new_nonce(self) -> str:
        """For middleware that answers in place of the CA."""
        return self._authority.nonces.issue()

    def forget_nonces(self) -> None:
        """Every nonce given out so far is stale."""
        self._authority.nonces.forget()


def _authority(
    options: Options, store: Store, rng: random.Random, now: Now, sleep: Sleep, validations: Validations
) -> Authority:
    issuer = store.fact("issuer", dump_issuer(make_issuer(rng, options.alternate_roots, options.chain_length)))
    tags = store.fact("tags", json.dumps({each: f"/{rng.getrandbits(24):06x}-{each}" for each in ROUTES}))
    return Authority(
        options=options,
        store=store,
        issuer=load_issuer(issuer),
        nonces=Nonces(rng, options.bad_nonce),
        rng=rng,
        now=now,
        sleep=sleep,
        tags=json.loads(tags),
        validate=validations.start,
        validations=deque(maxlen=REMEMBERED),
    )


@contextmanager
def _state(state_dir: Path | None) -> Iterator[tuple[Path, Store]]:
    """The folder for files and the store in it, kept or thrown away."""
    if state_dir is None:
        with tempfile.TemporaryDirectory(prefix="devca-") as folder:
            yield Path(folder), Store()
        return
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateDirInUse(f"{state_dir}: another devca runs on this state directory") from None
        store = Store(state_dir / "devca.sqlite")
        try:
            yield state_dir, store
        finally:
            store.close()


@asynccontextmanager
async def _validating(validations: Validations, authority: Authority) -> AsyncIterator[None]:
    # A task of its own and no TaskGroup around the caller: fixtures begin and end a block in different tasks.
    task = asyncio.create_task(validations.run(authority), name="devca validations")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled() and (failure := task.exception()) is not None:
        raise failure


def _ports(options: Options, store: Store) -> tuple[int, ...]:
    """Those to try: any port is the one of last time if it is free, because clients hold URLs with it."""
    last = int(store.fact("port", "0"))
    return (last, 0) if options.port == 0 and last else (options.port,)


@asynccontextmanager
async def _listening(
    app: web.Application, host: str, ports: Sequence[int], listener: socket | None, context: ssl.SSLContext
) -> AsyncIterator[int]:
    """The port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    try:
        if listener is not None:
            await web.SockSite(runner, listener, ssl_context=context).start()
        else:
            await _listen(runner, host, ports, context)
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, ports: Sequence[int], context: ssl.SSLContext) -> None:
    *first, last = ports
    for port in first:
        site = web.TCPSite(runner, host, port, ssl_context=context)
        try:
            await site.start()
        except OSError:
            await site.stop()
        else:
            return
    await web.TCPSite(runner, host, last, ssl_context=context).start()


def _server_context(root: Signer, host: str, folder: Path) -> ssl.SSLContext:
    own = api_certificate(root, [host])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # ssl reads keys from files only; this one is gone before anybody connects.
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".pem") as both:
        both.write(key_pem(own.key) + pem(own.certificate).encode())
        both.flush()
        context.load_cert_chain(both.name)
    return context
