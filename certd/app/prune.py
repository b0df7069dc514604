"""Placeholder until retention lands."""

from certd.app.house import House


async def prune_if_due(house: House) -> None: ...
