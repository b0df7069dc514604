"""Distributions as `pip install` leaves them: a folder on the path with metadata and modules."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

GOOD = """
from contextlib import asynccontextmanager
from dataclasses import dataclass
from certd.api import ProviderSpec

@dataclass(frozen=True)
class Options:
    server: str = "ns1"

@asynccontextmanager
async def open_(options, tools):
    yield None

SPEC = ProviderSpec(name="{name}", summary="a good one", options=Options, open=open_)
"""


@dataclass(frozen=True)
class SitePackages:
    """A folder on `sys.path`."""

    folder: Path

    def install(
        self, distribution: str, module: str, source: str, *names: str, version: str = "1.0", entry_points: str = ""
    ) -> None:
        """A distribution with one module, which brings the providers *names*."""
        self.folder.joinpath(f"{module}.py").write_text(source)
        lines = entry_points or "[certd.providers]\n" + "".join(f"{name} = {module}:SPEC\n" for name in names)
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        info.joinpath("entry_points.txt").write_text(lines)


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SitePackages]:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield SitePackages(folder)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
            del sys.modules[name]
