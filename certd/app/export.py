"""What the ledger has, as files: `generations/`, `live/`, `quarantine/`, and copies for servers (`--out`)."""

from pathlib import Path

from certd.app.house import House
from certd.files import export
from certd.files.access import Access
from certd.files.generations import write_generation
from certd.files.live import switch_live
from certd.files.pems import Pems, pems_of
from certd.files.quarantine import keep_odd_chain
from certd.keys.software import private_pem
from certd.model.records import Generation, OrderRecord
from certd.threads import in_thread


class StateFiles:
    """The workflow's `Files`: the exported half of one state directory."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._root = house.place.root

    async def write(self, generation: Generation) -> None:
        """Write what is missing or wrong, and let `live/` show it; safe to repeat. Raises StorageError."""
        pems = await self.pems(generation)
        await in_thread(self._write, generation, pems)

    async def quarantine(self, order: OrderRecord, chain_pem: str) -> str:
        return str(await in_thread(keep_odd_chain, self._root, order.name, order.id, chain_pem))

    async def pems(self, generation: Generation) -> Pems:
        """Its files' contents, from the ledger alone."""
        key = None if generation.key_id is None else await self._house.ledger.key(generation.key_id)
        return pems_of(generation.chain, None if key is None else private_pem(key))

    def _write(self, generation: Generation, pems: Pems) -> None:
        write_generation(self._root, generation.name, generation.number, pems)
        switch_live(self._root, generation.name, generation.number)


def check_out(directory: Path | None, access: Access) -> None:
    """Find out before the CA is asked whether copying will work. Raises StorageError."""
    if directory is not None:
        export.check_export(directory, access)


async def copy_out(
    directory: Path | None, access: Access, files: StateFiles, generation: Generation
) -> tuple[str, ...]:
    """Bring the copies up to date, if there shall be any; the names of those that were written. Raises StorageError."""
    if directory is None:
        return ()
    pems = await files.pems(generation)
    return await in_thread(export.export, directory, pems, access)
