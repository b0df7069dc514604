"""http-01 through somebody else's webroot: exact files, foreign ones untouched, nothing outside (R43, SE3)."""

import asyncio
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from certd.listen.webroot import Webroot
from certd.model.errors import ListenError
from tests.unit.listen.attacker import attack, private_of
from tests.unit.listen.fakes import THUMBPRINT, TOKEN, http_proof, until

OTHER = 12345
CHALLENGES = ".well-known/acme-challenge"
PROOF = http_proof()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that certd has no business in, with one file."""
    made = tmp_path / "outside"
    made.mkdir()
    (made / TOKEN).write_bytes(b"precious")
    (made / TOKEN).chmod(0o600)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "webroot"
    made.mkdir()
    return made


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777 if os.geteuid() == 0 else 0o067])
async def test_files_are_exact_and_readable_whatever_the_umask(root: Path, mask: int) -> None:
    """I19: a daemon's umask is 0077, and the web server is somebody else."""
    with umask(mask):
        await Webroot(root).publish([PROOF])
    assert files(root) == {f"{CHALLENGES}/{TOKEN}": PROOF.value.encode()}
    assert [mode(root / part) for part in (".well-known", CHALLENGES, f"{CHALLENGES}/{TOKEN}")] == [0o755, 0o755, 0o644]
    assert mode(root) == mode(root.parent / "webroot"), "the webroot itself is not ours to open up"


async def test_publishing_and_withdrawing_are_safe_to_repeat(root: Path) -> None:
    """After a crash nobody knows how far the last process came."""
    webroot, more = Webroot(root), [http_proof(f"{number:040}", f"n{number}.example.org") for number in range(20)]
    for _ in range(2):
        await webroot.publish([PROOF, *more])
        assert await webroot.missing([PROOF, *more]) == ()
    assert len(files(root)) == 21
    for _ in range(2):
        await webroot.withdraw([PROOF, *more])
        assert files(root) == {}
    assert await webroot.missing([PROOF]) == (PROOF,)
    assert (root / CHALLENGES).is_dir(), "another client may be about to write there"


async def test_withdrawing_from_nowhere_is_done_already(tmp_path: Path) -> None:
    """The operator has removed the site meanwhile; the journal must come to an end."""
    await Webroot(tmp_path / "absent").withdraw([PROOF])
    await Webroot(tmp_path).withdraw([PROOF])
    assert names(tmp_path) == []


async def test_what_others_put_there_stays_as_it_is(root: Path) -> None:
    """Invariant 5: other clients, other tokens, and our own token with other words in it."""
    directory = root / CHALLENGES
    directory.mkdir(parents=True)
    (root / ".well-known").chmod(0o750)
    directory.chmod(0o2770)
    foreign = {"index.html": b"x", "other-token": b"other-token.thumbprint", TOKEN: f"{TOKEN}.other".encode()}
    for name, content in foreign.items():
        (directory / name).write_bytes(content)
    await Webroot(root).withdraw([PROOF])
    assert files(directory) == foreign
    await Webroot(root).publish([PROOF])
    await Webroot(root).withdraw([PROOF])
    del foreign[TOKEN]
    assert files(directory) == foreign
    assert (mode(root / ".well-known"), mode(directory)) == (0o750, 0o2770)


@pytest.mark.parametrize("words", [b"", PROOF.value.encode()[:-1], PROOF.value.encode() + b"\n", b"x" * 87])
async def test_a_file_with_other_words_is_no_proof(root: Path, words: bytes) -> None:
    """R43: exact bytes; "whether it is still there" is asked before the CA is told to look."""
    await Webroot(root).publish([PROOF])
    (root / CHALLENGES / TOKEN).write_bytes(words)
    assert await Webroot(root).missing([PROOF]) == (PROOF,)


async def test_a_webroot_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A typing error must not become a directory that no server serves."""
    with pytest.raises(ListenError, match="absent: cannot publish http-01 answers: there is no such directory"):
        await Webroot(tmp_path / "absent").publish([PROOF])
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\x00b", "a b", "ü", "x" * 129, "%2e"])
async def test_what_is_no_token_never_becomes_a_path(root: Path, name: str) -> None:
    """R43, I32: checked again where it matters, before any of the set is touched."""
    for act in (Webroot(root).publish, Webroot(root).withdraw, Webroot(root).missing):
        with pytest.raises(ListenError, match="cannot be a file name"):
            await act([PROOF, http_proof(name)])
    assert names(root) == []


@pytest.mark.parametrize("component", [".well-known", CHALLENGES])
async def test_a_link_below_the_webroot_is_not_followed(root: Path, outside: Path, component: str) -> None:
    """SE3: neither to write nor to remove, wherever it leads."""
    (root / component).parent.mkdir(exist_ok=True)
    (root / component).symlink_to(outside)
    for act in (Webroot(root).publish, Webroot(root).withdraw):
        with pytest.raises(ListenError, match=f"{component}: .*symbolic link") as caught:
            await act([PROOF])
        assert "the directory that the server really reads" in caught.value.hint
    assert files(outside) == {TOKEN: b"precious"}


async def test_a_webroot_that_is_itself_a_link_is_meant(tmp_path: Path, root: Path) -> None:
    """`current -> releases/7` is how sites are deployed; the operator named it."""
    (tmp_path / "current").symlink_to(root)
    await Webroot(tmp_path / "current").publish([PROOF])
    assert files(root) == {f"{CHALLENGES}/{TOKEN}": PROOF.value.encode()}


@pytest.mark.parametrize("name", [TOKEN, f".{TOKEN}.certd"])
@pytest.mark.parametrize("planted", ["symlink", "hard link", "fifo", "file"])
async def test_what_stands_in_a_files_place_is_replaced_and_never_written_through(
    root: Path, outside: Path, name: str, planted: str
) -> None:
    """SE3: a planted link leads nowhere, a FIFO holds nobody up, a leftover of a crash is cleared away."""
    victim, place = outside / TOKEN, root / CHALLENGES / name
    place.parent.mkdir(parents=True)
    match planted:
        case "symlink":
            place.symlink_to(victim)
        case "hard link":
            os.link(victim, place)
        case "fifo":
            os.mkfifo(place)
        case _:
            place.write_bytes(b"half")
    assert await Webroot(root).missing([PROOF]) == (PROOF,)
    await Webroot(root).publish([PROOF])
    assert files(root) == {f"{CHALLENGES}/{TOKEN}": PROOF.value.encode()}
    assert not (root / CHALLENGES / TOKEN).is_symlink()
    assert (victim.read_bytes(), mode(victim), victim.stat().st_nlink) == (b"precious", 0o600, 1)


@pytest.mark.parametrize("planted", ["symlink", "fifo", "directory"])
async def test_what_is_no_file_of_ours_is_not_withdrawn(root: Path, outside: Path, planted: str) -> None:
    """Even a link to a file that has just our words."""
    (outside / TOKEN).write_text(PROOF.value)
    place = root / CHALLENGES / TOKEN
    place.parent.mkdir(parents=True)
    match planted:
        case "symlink":
            place.symlink_to(outside / TOKEN)
        case "fifo":
            os.mkfifo(place)
        case _:
            place.mkdir()
    await Webroot(root).withdraw([PROOF])
    assert names(place.parent) == [TOKEN]
    assert files(outside) == {TOKEN: PROOF.value.encode()}


async def test_a_directory_in_a_files_place_is_said_and_nothing_is_left(root: Path) -> None:
    """Rename refuses; the temporary file goes away again."""
    (root / CHALLENGES / TOKEN).mkdir(parents=True)
    with pytest.raises(ListenError, match=f"{TOKEN}: cannot publish http-01 answers: is a directory"):
        await Webroot(root).publish([PROOF])
    assert names(root / CHALLENGES) == [TOKEN]


async def test_what_a_crash_left_half_written_is_withdrawn_as_well(root: Path) -> None:
    """The process died between the temporary file and its rename; the journal has the row."""
    (root / CHALLENGES).mkdir(parents=True)
    (root / CHALLENGES / f".{TOKEN}.certd").write_bytes(THUMBPRINT.encode()[:7])
    await Webroot(root).withdraw([PROOF])
    assert names(root / CHALLENGES) == []


@pytest.fixture
def arena() -> Iterator[Path]:
    """In memory, where renames are many times as fast as on a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.mark.parametrize("swaps", [20_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_an_attacker_who_swaps_everything_all_the_time_gains_nothing(arena: Path, swaps: int) -> None:
    """SE3: directories and files swapped for links that lead out; 0 writes, 0 removals, 0 modes outside."""
    root, outside = arena / "webroot", arena / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / TOKEN).write_bytes(b"precious")
    (outside / TOKEN).chmod(0o600)
    webroot, refused, rounds = Webroot(root), 0, 0
    with attack(root / CHALLENGES, TOKEN, outside) as swapped:
        while swapped() < swaps or rounds < 200:
            rounds += 1
            for act in (webroot.publish, webroot.withdraw):
                try:
                    await act([PROOF])
                except ListenError:
                    refused += 1
    assert files(outside) == {TOKEN: b"precious"}
    assert (mode(outside), mode(outside / TOKEN), mode(private_of(outside))) == (0o755, 0o600, 0o700)
    assert 0 < refused < 2 * rounds, "the attack met us in the middle, and did not only stand in the way"
    await webroot.publish([PROOF])
    assert await webroot.missing([PROOF]) == ()


class Slow(str):
    """Words that hold up whoever writes them."""

    __slots__ = ("go", "met")
    go: threading.Event
    met: threading.Event

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self.met.set()
        self.go.wait(10)
        return super().encode(encoding, errors)


async def test_a_publication_that_is_given_up_writes_nothing_after_the_withdrawal(root: Path) -> None:
    """Invariant 5: another provider's trouble cancels it, and what was published is withdrawn at once."""
    slow = Slow(PROOF.value)
    slow.go, slow.met = threading.Event(), threading.Event()
    publishing = asyncio.create_task(Webroot(root).publish([replace(PROOF, value=slow)]))
    await until(slow.met.is_set)
    for _ in range(3):
        publishing.cancel()
        await asyncio.sleep(0)
    assert not publishing.done()
    slow.go.set()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    await Webroot(root).withdraw([PROOF])
    assert files(root) == {}


@contextmanager
def _somebody_elses(modes: int) -> Iterator[Path]:
    """A webroot with these modes that belongs to root, seen by another user."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        (top / "webroot" / CHALLENGES).mkdir(parents=True)
        for part in ("webroot/.well-known", f"webroot/{CHALLENGES}"):
            (top / part).chmod(modes)
        os.seteuid(OTHER)
        try:
            yield top / "webroot"
        finally:
            os.seteuid(0)


@needs_root
async def test_a_directory_that_may_be_searched_but_not_listed_is_enough() -> None:
    """0733 is how careful hosts let several clients write into one challenge directory."""
    with _somebody_elses(0o733) as root:
        await Webroot(root).publish([PROOF])
        assert await Webroot(root).missing([PROOF]) == ()
        await Webroot(root).withdraw([PROOF])
        assert await Webroot(root).missing([PROOF]) == (PROOF,)


@needs_root
async def test_a_directory_of_somebody_elses_is_named_with_who_we_are() -> None:
    """The commonest mistake with --webroot, and the file that cannot be written stands first."""
    with _somebody_elses(0o755) as root:
        with pytest.raises(ListenError, match=f"{TOKEN}: cannot publish http-01 answers: permission denied") as caught:
            await Webroot(root).publish([PROOF])
        assert f"user id {OTHER}" in caught.value.hint
        await Webroot(root).withdraw([PROOF])
