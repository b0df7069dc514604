from collections.abc import Iterator
from pathlib import Path

import pytest

from certd.model.steps import set_trap
from tests.unit.account.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path)
    set_trap(None)
