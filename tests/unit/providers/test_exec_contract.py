"""The provider contract, kept by a real script that keeps records in files."""

from pathlib import Path

import pytest

from certd_providers.exec import SPEC
from tests.provider_contract import ProviderContract, Subject

SCRIPT = r"""#!/bin/sh
# lego's contract: $0 present|cleanup NAME. VALUE; records in $RECORDS, a file a name, a line a value
set -eu
[ -d "$RECORDS" ] || { echo "no such zone store; I was given $TOKEN" >&2; exit 69; }
[ "$TOKEN" = "$(cat "$RECORDS/../token")" ] || { echo "wrong token $TOKEN" >&2; exit 77; }
file="$RECORDS/$2"
case "$1" in
    present) grep -qxF -e "$3" "$file" 2>/dev/null || printf '%s\n' "$3" >>"$file" ;;
    cleanup)
        [ -e "$file" ] || exit 0
        grep -vxF -e "$3" "$file" >"$RECORDS/.new.$$" || :
        mv "$RECORDS/.new.$$" "$file"
        ;;
    *) exit 64 ;;
esac
"""

TOKEN = "c4n4ry-token"


class TestExec(ProviderContract):
    @pytest.fixture
    def subject(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
        records = tmp_path / "records"
        records.mkdir()
        (tmp_path / "token").write_text(TOKEN)
        program = tmp_path / "dns-hook"
        program.write_text(SCRIPT)
        program.chmod(0o755)
        monkeypatch.setenv("RECORDS", str(records))
        monkeypatch.setenv("TOKEN", TOKEN)
        wrong = tmp_path / "dns-hook-with-another-token"
        wrong.write_text(SCRIPT.replace('[ "$TOKEN" =', '[ "another" ='))
        wrong.chmod(0o755)
        rest = (("env", "RECORDS,TOKEN"), ("timeout", "60"))

        async def values(name: str) -> set[str]:
            path = records / f"{name}."
            return set(path.read_text().splitlines()) if path.exists() else set()

        async def add(name: str, value: str) -> None:
            with (records / f"{name}.").open("a") as file:
                file.write(f"{value}\n")

        async def stop() -> None:
            records.rename(tmp_path / "away")

        return Subject(
            spec=SPEC,
            pairs=(("program", str(program)), *rest),
            bad_pairs=(("program", str(wrong)), *rest),
            zones=("example.test", "other.test"),
            values=values,
            add=add,
            stop=stop,
            secrets=(TOKEN,),
        )
