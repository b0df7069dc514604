"""A DNS zone whose TXT values are lines of files, and the program that certd's `exec` provider changes them with.

The program adds and removes single values, as the provider's contract wants it, and outlives a killed certd.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dns.name
import dns.rdatatype
import dns.rrset

from tests.fakes.dns_server import TTL, Zone

PROGRAM = """#!/bin/sh
# PROGRAM present|cleanup NAME. VALUE
set -eu
file="{folder}/$2txt"
case "$1" in
present) grep -qxF -e "$3" "$file" 2>/dev/null || printf '%s\\n' "$3" >> "$file" ;;
cleanup) if [ -e "$file" ]; then grep -vxF -e "$3" "$file" > "$file.new" || true; mv "$file.new" "$file"; fi ;;
esac
"""


@dataclass
class TxtFolder(Zone):
    """The zone *origin*, with the records in *folder* as they are at each question."""

    folder: Path = Path()

    @property
    def program(self) -> Path:
        return self.folder / "program"

    def write_program(self) -> None:
        self.program.write_text(PROGRAM.format(folder=self.folder))
        self.program.chmod(0o700)

    def add(self, name: str, value: str) -> None:
        """As somebody else would."""
        with (self.folder / f"{name}.txt").open("a") as file:
            file.write(f"{value}\n")

    def values(self) -> dict[str, set[str]]:
        """TXT values by name; names without values left out."""
        found = {path.name.removesuffix(".txt"): set(path.read_text().split()) for path in self.folder.glob("*.txt")}
        return {name: values for name, values in found.items() if values}

    def rrsets(self, now: datetime) -> dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset]:
        found = super().rrsets(now)
        for owner, values in self.values().items():
            name = dns.name.from_text(owner)
            found[name, dns.rdatatype.TXT] = dns.rrset.from_text_list(name, TTL, "IN", "TXT", sorted(values))
        return found
