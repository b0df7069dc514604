"""What a request comes to: every mistake that needs neither network nor port is found here, and all of them at once.

This runs at every `certd issue`, also where nothing is due: it imports nothing that costs time.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from certd.app.issuers import Issuer, parse_server
from certd.app.request import ChallengeOptions, IssueRequest, OutOptions
from certd.files.access import Access, parse_access
from certd.listen.addresses import parse_address
from certd.model.acme import ChallengeType
from certd.model.desired import Desired
from certd.model.errors import ConfigError
from certd.model.identifiers import CertName, Identifier, default_name, file_name, parse_identifiers
from certd.model.keys import KeyType, KeyWish
from certd.model.mistakes import Checks
from certd.plan.challenges import fitting

_LARGEST_CSR = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """A request, understood. `challenge`: with its addresses filled in. `access`: of the copies in `--out`."""

    desired: Desired
    issuer: Issuer
    allowed: tuple[ChallengeType, ...]
    challenge: ChallengeOptions
    access: Access
    reload: tuple[str, ...]


def read_request(request: IssueRequest) -> Wish:
    """Raises ConfigError with every mistake: names, server, key type, challenges that fit no name, addresses."""
    checks = Checks()
    issuer = checks.of(parse_server, request.server, request.ca_bundle)
    allowed = checks.of(allowed_types, request.challenge)
    key = checks.of(parse_key_type, request.key_type)
    asked = checks.of(_names, request)
    csr, identifiers = asked or (None, ())
    for identifier in identifiers if allowed else ():
        checks.of(fitting, identifier, allowed or ())
    name = checks.of(_name, request, identifiers)
    for address in filter(None, (request.challenge.http_address, request.challenge.tls_address)):
        checks.of(parse_address, address)
    access = checks.of(_access, request.out)
    argv = checks.of(parse_command, request.reload)
    checks.verdict()
    if issuer is None or allowed is None or key is None or name is None or access is None or argv is None:
        raise AssertionError("a check failed, and its verdict did not say so")
    desired = Desired(
        name=name,
        identifiers=identifiers,
        issuer=issuer.id,
        key=KeyWish(key, keep=request.reuse_key),
        profile=request.profile,
        preferred_chain=request.preferred_chain,
        csr=csr,
    )
    return Wish(desired, issuer, allowed, _with_addresses(request.challenge, issuer, identifiers), access, argv)


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
    """`ec256`, and the ways in which people write the same: `P-256`, `ecdsa-p256`, `rsa-2048`. Raises ConfigError."""
    known = {t.value: t for t in KeyType}
    plain = text.lower().replace("-", "").replace("_", "").replace("ecdsa", "ec").replace("ecp", "ec")
    plain = f"ec{plain[1:]}" if plain.startswith("p") else plain
    if found := known.get("rsa2048" if plain == "rsa" else "ec256" if plain == "ec" else plain):
        return found
    raise ConfigError(f"{text!r} is not a key type", hint=f"one of {', '.join(known)}")


def parse_command(command: str) -> tuple[str, ...]:
    """`--reload`'s words as a shell would split them; no shell runs them. Raises ConfigError."""
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"--reload {command!r}: {str(error).lower()}") from error
    if command and not (argv and argv[0]):
        raise ConfigError("--reload: the command is empty")
    return argv


def _challenge_type(text: str) -> ChallengeType:
    try:
        return ChallengeType(text.lower())
    except ValueError:
        known = ", ".join(t.value for t in ChallengeType)
        raise ConfigError(f"{text!r} is not a challenge type", hint=f"one of {known}") from None


def _names(request: IssueRequest) -> tuple[bytes | None, tuple[Identifier, ...]]:
    """The CSR if there is one, and the identifiers."""
    names = parse_identifiers(request.names)
    if request.csr is not None:
        return _read_csr(request.csr, names)
    if not names:
        raise ConfigError("no names given", hint="add -d NAME, once for each name, or --csr FILE")
    return None, names


def _name(request: IssueRequest, identifiers: Sequence[Identifier]) -> CertName:
    if not request.name and not identifiers:
        return CertName("")  # that there are no names is a mistake already
    name = CertName(request.name) if request.name else default_name(identifiers)
    file_name(name)
    return name


def _access(out: OutOptions) -> Access:
    if out.directory is None and (out.owner or out.group or out.mode):
        raise ConfigError("--out-owner, --out-group and --out-mode are for copies, and --out DIR is missing")
    return parse_access(out.owner, out.group, out.mode)


def _with_addresses(options: ChallengeOptions, issuer: Issuer, identifiers: Sequence[Identifier]) -> ChallengeOptions:
    http, tls = ":80", ":443"
    if issuer.is_dev:
        # The embedded CA comes to the address itself: to ::1 only a listener that has both families is there.
        http = tls = ":0" if any(":" in identifier.value for identifier in identifiers) else "127.0.0.1:0"
    return replace(options, http_address=options.http_address or http, tls_address=options.tls_address or tls)


def _read_csr(path: Path, names: Sequence[Identifier]) -> tuple[bytes, tuple[Identifier, ...]]:
    from certd.keys.csr import parse_csr  # noqa: PLC0415 - X.509 only where a CSR is given

    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_CSR)
    except OSError as error:
        raise ConfigError(f"--csr {path}: {(error.strerror or str(error)).lower()}") from error
    parsed = parse_csr(data, str(path))
    if names and set(names) != set(parsed.identifiers):
        asked = ", ".join(map(str, parsed.identifiers))
        raise ConfigError(f"{path}: the CSR asks for {asked}, which is not what -d says", hint="leave -d out")
    return parsed.der, parsed.identifiers
