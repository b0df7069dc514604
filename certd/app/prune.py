"""Once a day, what nobody needs any more goes: files, then rows; `certd.ledger.retention` has numbers and reasons."""

import logging
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from certd.app.house import House
from certd.files.generations import prune
from certd.files.live import live_number
from certd.files.quarantine import forget_odd_chain
from certd.ledger.retention import Prunable, Pruned, forget, is_due, select, take_stock
from certd.model.errors import CertdError
from certd.model.identifiers import CertName
from certd.model.steps import Step, step
from certd.threads import in_thread

log = logging.getLogger("certd.prune")


async def prune_if_due(house: House) -> Pruned | None:
    """Prune unless that was done within a day. A disk that refuses is logged and not raised: what was asked is done."""
    now = house.clock.now()
    try:
        if not await is_due(house.ledger, now):
            return None
        files = _Files(house.place.root)
        shown = await in_thread(files.shown, await house.ledger.names())
        prunable = select(await take_stock(house.ledger, shown), now)
        with step(Step.FILES_PRUNED):
            await in_thread(files.delete, prunable)
        pruned = await forget(house.ledger, files.without_failed(prunable))
    except CertdError as failure:
        log.warning("pruning failed; tried again at the next run", extra={"error": str(failure)})
        return None
    log.info("pruned", extra=asdict(pruned))
    return pruned


@dataclass(slots=True)
class _Files:
    """The state directory's half. A name whose files cannot be read or deleted is `failed`: its rows stay as well."""

    root: Path
    failed: set[CertName] = field(default_factory=set)

    def shown(self, names: Iterable[CertName]) -> Mapping[CertName, AbstractSet[int]]:
        """Which generations links show."""
        found: dict[CertName, AbstractSet[int]] = {}
        for name in names:
            try:
                number = live_number(self.root, name)
            except CertdError as failure:
                self._note(name, failure)
            else:
                found[name] = frozenset() if number is None else {number}
        return found

    def delete(self, prunable: Prunable) -> None:
        """Safe to repeat; also what no row names any more goes."""
        for name, kept in prunable.kept.items():
            if name not in self.failed:
                try:
                    prune(self.root, name, kept)
                except CertdError as failure:
                    self._note(name, failure)
        for order in prunable.orders:
            try:
                forget_odd_chain(self.root, order.name, order.id)
            except CertdError as failure:
                self._note(order.name, failure)

    def without_failed(self, prunable: Prunable) -> Prunable:
        return replace(
            prunable,
            generations=[(name, number) for name, number in prunable.generations if name not in self.failed],
            orders=[order for order in prunable.orders if order.name not in self.failed],
        )

    def _note(self, name: CertName, failure: CertdError) -> None:
        self.failed.add(name)
        log.warning("old files stay; tried again tomorrow", extra={"cert": name, "error": str(failure)})
