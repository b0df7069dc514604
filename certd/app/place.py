"""Where things lie below the state directory. Imports nothing that costs time."""

from dataclasses import dataclass
from pathlib import Path

from certd.model.errors import StorageError
from certd.model.identifiers import CertName, file_name


@dataclass(frozen=True, slots=True)
class Place:
    """The layout of one state directory, version 1 (docs/state.md)."""

    root: Path

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.sqlite"

    def has_ledger(self) -> bool:
        """Whether this is a state directory of certd's already. Raises StorageError where nobody may look."""
        try:
            return self.ledger.exists()
        except OSError as error:
            raise StorageError(
                f"{self.root}: cannot look at the state directory: {(error.strerror or str(error)).lower()}",
                hint="run certd as the user that owns it, or give another --state-dir",
            ) from error

    @property
    def dev_ca(self) -> Path:
        return self.root / "devca"

    def live(self, name: CertName) -> Path:
        """The link to the newest generation's directory."""
        return self.root / "live" / file_name(name)

    def generation(self, name: CertName, number: int) -> Path:
        return self.root / "generations" / file_name(name) / str(number)

    def is_live(self, name: CertName, number: int) -> bool:
        """Whether `live/<name>` shows this generation, and its files are there."""
        link, wanted = self.live(name), self.generation(name, number)
        try:
            return link.resolve(strict=True) == wanted.resolve(strict=True) and (link / "fullchain.pem").exists()
        except OSError:
            return False
