"""`certd issue` as a value, and what it asks for: every mistake that needs no network is found here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from certd.app.issuers import Issuer, parse_server
from certd.model.acme import ChallengeType
from certd.model.desired import Desired
from certd.model.errors import ConfigError
from certd.model.identifiers import CertName, Identifier, default_name, file_name, parse_identifiers
from certd.model.keys import KeyType, KeyWish
from certd.plan.challenges import fitting

DEFAULT_STATE_DIR = Path("/var/lib/certd")
DEFAULT_SERVER = "letsencrypt"


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """Which account to use, and how to make it. The EAB key is a reference (`file:`, `env:`, `credential:`)."""

    email: tuple[str, ...] = ()
    agree_tos: bool = False
    eab_kid: str = ""
    eab_hmac_key: str = ""
    eab_algorithm: str = "HS256"
    account: str = ""
    key_type: str = "ec256"


@dataclass(frozen=True, slots=True)
class ChallengeOptions:
    """How the names are proven. Texts as people type them; parsed by the rooms that know them.

    Addresses empty: ports 80 and 443, or any free port of loopback for the embedded CA, which is told of it.
    """

    types: tuple[str, ...] = ()
    dns: str = ""
    dns_options: tuple[str, ...] = ()
    dns_resolvers: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()
    propagation_timeout: str = ""
    webroot: Path | None = None
    http_address: str = ""
    tls_address: str = ""


@dataclass(frozen=True, slots=True)
class OutOptions:
    """`--out`: a copy of the files for a server, with its owner, group and mode."""

    directory: Path | None = None
    owner: str = ""
    group: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class IssueRequest:
    names: tuple[str, ...]
    name: str = ""
    server: str = DEFAULT_SERVER
    ca_bundle: Path | None = None
    account: AccountOptions = AccountOptions()
    challenge: ChallengeOptions = ChallengeOptions()
    out: OutOptions = OutOptions()
    key_type: str = "ec256"
    reuse_key: bool = False
    profile: str = ""
    preferred_chain: str = ""
    csr: Path | None = None
    reload: str = ""
    force: bool = False
    dry_run: bool = False
    state_dir: Path = DEFAULT_STATE_DIR
    wait: float = 60.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request comes to."""

    desired: Desired
    issuer: Issuer
    allowed: tuple[ChallengeType, ...]
    challenge: ChallengeOptions


def read_request(request: IssueRequest) -> Wish:
    """Raises ConfigError: no names, not a name, unknown server or key type, names that nothing can validate."""
    issuer = parse_server(request.server, request.ca_bundle)
    allowed = allowed_types(request.challenge)
    desired = _desired(request, issuer)
    mistakes: list[ConfigError] = []
    for identifier in desired.identifiers:
        try:
            fitting(identifier, allowed)
        except ConfigError as mistake:
            mistakes.append(mistake)
    if mistakes:
        raise ConfigError("\n".join(map(str, mistakes)), hint=mistakes[0].hint)
    return Wish(desired, issuer, allowed, _with_addresses(request.challenge, issuer))


def _with_addresses(options: ChallengeOptions, issuer: Issuer) -> ChallengeOptions:
    http, tls = ("127.0.0.1:0", "127.0.0.1:0") if issuer.is_dev else (":80", ":443")
    return replace(options, http_address=options.http_address or http, tls_address=options.tls_address or tls)


def allowed_types(options: ChallengeOptions) -> tuple[ChallengeType, ...]:
    """Those that were named, else dns-01 where a provider is chosen, else http-01. Raises ConfigError."""
    if options.types:
        types = tuple(_challenge_type(text) for text in options.types)
        if ChallengeType.DNS_01 in types and not options.dns:
            raise ConfigError(
                "--challenge dns-01 needs a DNS provider", hint="add --dns PROVIDER (certd providers list)"
            )
        return types
    if options.dns:
        return (ChallengeType.DNS_01, ChallengeType.HTTP_01) if options.webroot else (ChallengeType.DNS_01,)
    return (ChallengeType.HTTP_01,)


def parse_key_type(text: str) -> KeyType:
    """`ec256`, and the ways in which people write the same: `P-256`, `ecdsa-p256`, `rsa-2048`."""
    known = {t.value: t for t in KeyType}
    plain = text.lower().replace("-", "").replace("_", "").replace("ecdsa", "ec").replace("ecp", "ec")
    plain = f"ec{plain[1:]}" if plain.startswith("p") else plain
    if found := known.get("rsa2048" if plain == "rsa" else "ec256" if plain == "ec" else plain):
        return found
    raise ConfigError(f"{text!r} is not a key type", hint=f"one of {', '.join(known)}")


def _challenge_type(text: str) -> ChallengeType:
    try:
        return ChallengeType(text.lower())
    except ValueError:
        known = ", ".join(t.value for t in ChallengeType)
        raise ConfigError(f"{text!r} is not a challenge type", hint=f"one of {known}") from None


def _desired(request: IssueRequest, issuer: Issuer) -> Desired:
    key = KeyWish(parse_key_type(request.key_type), keep=request.reuse_key)
    names = parse_identifiers(request.names)
    csr: bytes | None = None
    if request.csr is not None:
        csr, names = _read_csr(request.csr, names)
    if not names:
        raise ConfigError("no names given", hint="add -d NAME, once for each name, or --csr FILE")
    name = CertName(request.name) if request.name else default_name(names)
    file_name(name)
    return Desired(
        name=name,
        identifiers=names,
        issuer=issuer.id,
        key=key,
        profile=request.profile,
        preferred_chain=request.preferred_chain,
        csr=csr,
    )


def _read_csr(path: Path, names: Sequence[Identifier]) -> tuple[bytes, tuple[Identifier, ...]]:
    from certd.keys.csr import parse_csr  # noqa: PLC0415 - X.509 only where a CSR is given

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"--csr {path}: {error.strerror}") from error
    parsed = parse_csr(data, str(path))
    if names and set(names) != set(parsed.identifiers):
        asked = ", ".join(map(str, parsed.identifiers))
        raise ConfigError(f"{path}: the CSR asks for {asked}, which is not what -d says", hint="leave -d out")
    return parsed.der, parsed.identifiers
