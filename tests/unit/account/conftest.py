from collections.abc import Iterator
from pathlib import Path

import pytest

from certd.model.steps import set_trap
from tests.fakes.folders import quick_folder
from tests.unit.account.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with quick_folder(tmp_path) as folder:
        yield Place(folder)
    set_trap(None)
