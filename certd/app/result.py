"""What `certd issue` comes to, for the command line and later the control socket alike."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certd.model.records import Generation, Renewal

ISSUED, UP_TO_DATE, CHECKED = "issued", "up-to-date", "checked"


@dataclass(frozen=True, slots=True)
class IssueResult:
    """`status`: `issued`, `up-to-date` or `checked` (dry run). `finding`: why it was issued, or would be."""

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
    notes: tuple[str, ...] = ()


def paths_of(live: Path, *, with_key: bool) -> dict[str, str]:
    """The files of a generation, by what they hold."""
    names = ("cert", "chain", "fullchain", *(("privkey", "bundle") if with_key else ()))
    return {name: str(live / f"{name}.pem") for name in names}
