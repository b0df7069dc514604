"""What `certd issue` comes to, for the command line and later the control socket alike."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certd.model.records import Generation, Renewal

ISSUED, UP_TO_DATE, CHECKED = "issued", "up-to-date", "checked"


@dataclass(frozen=True, slots=True)
class IssueResult:
    """`status`: `issued`, `up-to-date` or `checked` (dry run). `finding`: why it was issued, or would be.

    `reloaded`: the command that this run told a server with. `notes`: what a person may want to know besides.
    """

    status: str
    name: str
    issuer: str
    names: tuple[str, ...]
    now: datetime
    finding: str = ""
    generation: Generation | None = None
    renewal: Renewal | None = None
    live: Path | None = None
    out: Path | None = None
    reloaded: str = ""
    notes: tuple[str, ...] = ()


def paths_of(live: Path, *, with_key: bool) -> dict[str, str]:
    """The files of a generation, by what they hold."""
    names = ("cert", "chain", "fullchain", *(("privkey", "bundle") if with_key else ()))
    return {name: str(live / f"{name}.pem") for name in names}


def notes_on(generation: Generation, renewal: Renewal | None, now: datetime) -> tuple[str, ...]:
    """What is odd about a certificate that is in place."""
    notes = []
    if generation.not_before > now:
        notes.append(
            f"{generation.name}: valid only from {generation.not_before:%Y-%m-%d %H:%M:%S}Z, and this machine's clock "
            f"says {now:%Y-%m-%d %H:%M:%S}Z: a server that shows it before that is not believed"
        )
    if renewal is not None and renewal.explanation_url:
        # RFC 9773 §4.2: clients "SHOULD provide this URL to their operator".
        notes.append(f"{generation.name}: the CA explains its renewal window at {renewal.explanation_url}")
    return tuple(notes)
