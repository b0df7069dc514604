"""A CA of each kind, started once for all scenarios that a test process has for it, and somebody who orders there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flow.everywhere.authorities import KINDS, Authority, running_authority, second_authority
from tests.flow.everywhere.backstage import Backstage, backstage
from tests.flow.everywhere.customer import Customer
from tests.flow.everywhere.witnesses import note


@pytest.fixture(scope="session")
def behind() -> Iterator[Backstage]:
    with backstage() as running:
        yield running


@pytest.fixture(scope="session")
def authority(
    request: pytest.FixtureRequest, behind: Backstage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Authority]:
    kind = KINDS[request.param]
    with running_authority(kind, behind, tmp_path_factory.mktemp(kind.name)) as running:
        yield running


@pytest.fixture
def own_authority(request: pytest.FixtureRequest, behind: Backstage, tmp_path: Path) -> Iterator[Authority]:
    """One for this test alone, which may do to it what it likes."""
    with running_authority(KINDS[request.param], behind, tmp_path) as running:
        yield running


@pytest.fixture
def own_customer(
    request: pytest.FixtureRequest, own_authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Customer:
    note(request.node, own_authority.kind.server)
    return Customer(own_authority, tmp_path, capsys)


@pytest.fixture
def production(customer: Customer, behind: Backstage, tmp_path: Path) -> Iterator[Customer]:
    """The same customer at a Pebble that comes to the same places as the CA that the test has already."""
    folder = tmp_path / "production"
    folder.mkdir()
    with second_authority(customer.authority, KINDS["pebble"], folder) as running:
        yield replace(customer, authority=running)


@pytest.fixture
def customer(
    request: pytest.FixtureRequest, authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Customer:
    note(request.node, authority.kind.server)
    return Customer(authority, tmp_path, capsys)
