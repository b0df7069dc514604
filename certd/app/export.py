"""What the ledger has, as files: `generations/`, `live/`, `quarantine/`, and copies for servers (`--out`)."""

import asyncio
from pathlib import Path

from certd.app.house import House
from certd.app.request import OutOptions
from certd.files import export
from certd.files.access import Access, parse_access
from certd.files.generations import write_generation
from certd.files.live import switch_live
from certd.files.pems import Pems, pems_of
from certd.files.quarantine import keep_odd_chain
from certd.keys.software import private_pem
from certd.model.records import Generation, OrderRecord


class StateFiles:
    """The workflow's `Files`: the exported half of one state directory."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._root = house.place.root

    async def write(self, generation: Generation) -> None:
        """Write what is missing or wrong, and let `live/` show it; safe to repeat. Raises StorageError."""
        pems = await self.pems(generation)
        await asyncio.to_thread(self._write, generation, pems)

    async def quarantine(self, order: OrderRecord, chain_pem: str) -> str:
        path: Path = await asyncio.to_thread(keep_odd_chain, self._root, order.name, order.id, chain_pem)
        return str(path)

    async def pems(self, generation: Generation) -> Pems:
        """Its files' contents, from the ledger alone."""
        key = None if generation.key_id is None else await self._house.ledger.key(generation.key_id)
        return pems_of(generation.chain, None if key is None else private_pem(key))

    def _write(self, generation: Generation, pems: Pems) -> None:
        write_generation(self._root, generation.name, generation.number, pems)
        switch_live(self._root, generation.name, generation.number)


def out_access(out: OutOptions) -> Access:
    """Raises ConfigError: no such user or group, a mode that would lay the key bare."""
    return parse_access(out.owner, out.group, out.mode)


def check_out(out: OutOptions) -> None:
    """Find out before the CA is asked whether copying will work. Raises ConfigError, StorageError."""
    access = out_access(out)
    if out.directory is not None:
        export.check_export(out.directory, access)


async def copy_out(out: OutOptions, files: StateFiles, generation: Generation) -> Path | None:
    """Bring the copies up to date; where they are, None without `--out`. Raises StorageError."""
    if out.directory is None:
        return None
    pems = await files.pems(generation)
    await asyncio.to_thread(export.export, out.directory, pems, out_access(out))
    return out.directory
