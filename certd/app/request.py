"""`certd issue` as a value: what was asked for, as people type it. `certd.app.wish` says what it comes to."""

from dataclasses import dataclass
from pathlib import Path

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
