"""Where people meet errors: a state directory, a CA, and whatever else stands in the way, each started when wanted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from certd.devca import Options
from tests.flow.everywhere.backstage import Backstage
from tests.flow.everywhere.command import Ran, run_here
from tests.hellca.hell import HellCa
from tests.servers.bind import Bind, BindOptions, bind
from tests.servers.nginx import Nginx, NginxOptions, nginx
from tests.servers.places import held_port

T = TypeVar("T")
NAME = "shop.test"


@dataclass(slots=True)
class Scene:
    """`http_port` is ours and free: the CA comes there, and certd listens there unless a case says otherwise."""

    folder: Path
    behind: Backstage
    capsys: pytest.CaptureFixture[str]
    http_port: int
    _stack: ExitStack
    hells: list[HellCa] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def certd(self, *arguments: str) -> Ran:
        return run_here(arguments, self.capsys)

    def hell(self, **options: Any) -> HellCa:
        """A CA that can be told to fail."""
        chosen = Options.friendly(state_dir=self.folder / "ca", **{"http_port": self.http_port, **options})
        self.hells.append(self.start(HellCa.start(chosen)))
        return self.hells[-1]

    def nginx(self, http: str) -> Nginx:
        folder = self.folder / "nginx"
        folder.mkdir()
        return self.start(nginx(folder, NginxOptions(http)))

    def bind(self) -> Bind:
        folder = self.folder / "bind"
        folder.mkdir()
        return self.start(bind(folder, BindOptions(zones=("test",))))

    def start(self, resource: AbstractAsyncContextManager[T]) -> T:
        return self._stack.enter_context(self.behind.open(resource))

    def hold(self, resource: AbstractContextManager[T]) -> T:
        return self._stack.enter_context(resource)

    def free_port(self) -> int:
        """Nobody listens there, and nobody will."""
        return self.hold(held_port())

    def issue(self, *more: str) -> tuple[str, ...]:
        """`certd issue` without a CA."""
        return ("issue", "-d", NAME, "--state-dir", str(self.state), *more)

    def at(self, hell: HellCa, *more: str) -> tuple[str, ...]:
        """`certd issue` at *hell*, as it succeeds; later options win."""
        return self.issue(*here(hell), *("--http-address", f"127.0.0.1:{self.http_port}"), *more)


def here(hell: HellCa) -> Sequence[str]:
    return ("--server", hell.directory_url, "--ca-bundle", str(hell.ca.root_path), "--agree-tos")


@contextmanager
def scene(folder: Path, behind: Backstage, capsys: pytest.CaptureFixture[str]) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(folder, behind, capsys, stack.enter_context(held_port()), stack)


Cause = Callable[[Scene], Sequence[str]]
