"""Generations on disk: whole or not there, private from birth, rebuilt at will, pruned only when nobody shows them."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from certd.files.access import Access
from certd.files.generations import prune, write_generation
from certd.files.live import live_number, switch_live
from certd.files.pems import pems_of
from certd.model.errors import ConfigError, StorageError
from certd.model.identifiers import CertName
from tests.unit.files.samples import NAME, contents, expected, install, pems

OTHER = 12345  # an id that nobody on the machine has
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(root: Path) -> dict[str, int]:
    found = {".": stat.S_IMODE(root.stat().st_mode)}
    for path in sorted(root.rglob("*")):
        if not path.is_symlink():
            found[str(path.relative_to(root))] = stat.S_IMODE(path.stat().st_mode)
    return found


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777 if os.geteuid() == 0 else 0o067])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, mask: int) -> None:
    """I19: keys lay open for years under one umask, and the folder was unusable under another (SE1)."""
    with umask(mask):
        install(tmp_path, 1)
    found = modes(tmp_path)
    assert {path: mode for path, mode in found.items() if path != "."} == {
        "generations": 0o700,
        "generations/example.org": 0o700,
        "generations/example.org/1": 0o700,
        "generations/example.org/1/bundle.pem": 0o600,
        "generations/example.org/1/cert.pem": 0o644,
        "generations/example.org/1/chain.pem": 0o644,
        "generations/example.org/1/fullchain.pem": 0o644,
        "generations/example.org/1/privkey.pem": 0o600,
        "live": 0o700,
    }


@needs_root
def test_a_group_that_may_read_the_key_can_walk_to_it(tmp_path: Path) -> None:
    write_generation(tmp_path, NAME, 1, pems(1), Access(group=OTHER, key_mode=0o640))
    found = modes(tmp_path)
    assert {found[p] for p in ("generations", "generations/example.org", "generations/example.org/1")} == {0o750}
    key = tmp_path / "generations/example.org/1/privkey.pem"
    assert (stat.S_IMODE(key.stat().st_mode), key.stat().st_gid) == (0o640, OTHER)


@needs_root
def test_at_no_instant_has_a_key_a_wider_mode_or_another_group_than_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE1 without a race to win: every file is looked at around each system call that touches it."""
    seen: dict[str, list[tuple[int, int, int]]] = {}

    def look(descriptor: int) -> None:
        what = os.fstat(descriptor)
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if stat.S_ISREG(what.st_mode) and name in {"privkey.pem", "bundle.pem"}:
            seen.setdefault(name, []).append((stat.S_IMODE(what.st_mode), what.st_gid, what.st_size))

    def watched(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            if name != "open" and isinstance(args[0], int):
                look(args[0])
            result = real(*args, **kwargs)
            look(result if name == "open" else args[0])  # type: ignore[arg-type]
            return result

        monkeypatch.setattr(os, name, call)

    for name in ("open", "write", "fchmod", "fchown", "fsync"):
        watched(name)
    with umask(0):
        write_generation(tmp_path, NAME, 1, pems(1), Access(group=OTHER, key_mode=0o640))
    assert set(seen) == {"privkey.pem", "bundle.pem"}
    for steps in seen.values():
        assert steps[0] == (0o600, os.getegid(), 0), "born private and empty"
        assert {(mode, group) for mode, group, size in steps if size} == {(0o640, OTHER)}, "right before the first byte"
        assert all(mode == 0o600 or group == OTHER for mode, group, _ in steps)


def test_the_five_files_hold_what_they_are_named_for(tmp_path: Path) -> None:
    directory = write_generation(tmp_path, NAME, 7, pems(7))
    leaf, chain, key = pems(7).leaf, pems(7).chain, pems(7).private_key
    assert key is not None
    assert contents(directory) == {
        "cert.pem": leaf,
        "chain.pem": chain,
        "fullchain.pem": leaf + chain,
        "privkey.pem": key,
        "bundle.pem": key + leaf + chain,
    }


def test_without_a_key_of_ours_there_is_no_key_file(tmp_path: Path) -> None:
    """`--csr`: the key never was here."""
    directory = write_generation(tmp_path, NAME, 1, pems(1, key=False))
    assert sorted(contents(directory)) == ["cert.pem", "chain.pem", "fullchain.pem"]


def test_neither_pems_nor_errors_print_the_key() -> None:
    assert "key of generation" not in repr(pems(1))
    assert "key of generation" not in repr(pems(1).files())


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    for name in ("../x", "a/b", "..", "-rf"):
        with pytest.raises(ConfigError):
            write_generation(tmp_path, CertName(name), 1, pems(1))
    assert list(tmp_path.iterdir()) == []


def test_writing_again_touches_nothing(tmp_path: Path) -> None:
    """Owner and mode that an operator gave by hand stay, and watchers see no change."""
    directory = write_generation(tmp_path, NAME, 1, pems(1))
    (directory / "privkey.pem").chmod(0o640)
    before = [untouched(p) for p in sorted(directory.iterdir())]
    write_generation(tmp_path, NAME, 1, pems(1))
    assert [untouched(p) for p in sorted(directory.iterdir())] == before


def untouched(path: Path) -> tuple[str, int, int, int]:
    """All but when it was read."""
    seen = path.stat()
    return path.name, seen.st_ino, seen.st_mode, seen.st_ctime_ns


@pytest.mark.parametrize("damage", ["changed", "cut", "removed", "directory", "link", "fifo", "all gone"])
def test_a_generation_that_is_not_what_the_ledger_has_is_set_aside_and_written_anew(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """FS6: perhaps it is another ledger's newer certificate, so it is kept."""
    install(tmp_path, 1)
    directory = tmp_path / "generations/example.org/1"
    key = directory / "privkey.pem"
    match damage:
        case "changed":
            key.write_bytes(b"another key")
        case "cut":
            key.write_bytes(key.read_bytes()[:-1])
        case "all gone":
            for file in directory.iterdir():
                file.unlink()
        case _:
            key.unlink()
            if damage == "directory":
                key.mkdir()
            elif damage == "link":
                key.symlink_to("/etc/passwd")
            elif damage == "fifo":
                os.mkfifo(key)
    write_generation(tmp_path, NAME, 1, pems(1))
    assert contents(tmp_path / "live/example.org") == expected(1)
    aside = tmp_path / "generations/example.org/1.aside-1"
    assert aside.is_dir()
    if damage == "changed":
        assert (aside / "privkey.pem").read_bytes() == b"another key"
    assert "set aside" in caplog.text
    (directory / "privkey.pem").write_bytes(b"once more")
    write_generation(tmp_path, NAME, 1, pems(1))
    assert (tmp_path / "generations/example.org/1.aside-2").is_dir()


def test_a_link_in_the_way_is_never_followed(tmp_path: Path) -> None:
    """SE3: neither for `generations` nor for a certificate's directory."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for place in ("generations", "generations/example.org"):
        root = tmp_path / place.replace("/", "-")
        (root / place).parent.mkdir(parents=True)
        (root / place).symlink_to(outside)
        with pytest.raises(StorageError, match="not a directory"):
            write_generation(root, NAME, 1, pems(1))
    assert list(outside.iterdir()) == []


def test_prune_removes_all_but_the_kept_and_the_shown(tmp_path: Path) -> None:
    for number in range(1, 12):
        install(tmp_path, number)
    parent = tmp_path / "generations/example.org"
    (parent / "3/privkey.pem").write_bytes(b"x")
    write_generation(tmp_path, NAME, 3, pems(3))
    (parent / "notes.txt").write_text("the operator's")
    (parent / "007").mkdir()
    (parent / ".staged-99").mkdir()
    assert prune(tmp_path, NAME, {9, 10}) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert sorted(p.name for p in parent.iterdir()) == ["007", "10", "11", "3.aside-1", "9", "notes.txt"]
    assert contents(tmp_path / "live/example.org") == expected(11)
    assert prune(tmp_path, NAME, set()) == (9, 10)
    assert prune(tmp_path, CertName("never.example"), {1}) == ()


def test_a_reader_at_full_speed_never_sees_a_mixed_pair(tmp_path: Path) -> None:
    """I18, DP11: through one descriptor of `live/<name>`, and through bundle.pem by its path."""
    install(tmp_path, 1)
    stop, seen, errors = threading.Event(), set[int](), list[str]()
    link = tmp_path / "live/example.org"

    def read() -> None:
        while not stop.is_set():
            found = contents(link)
            bundle = (link / "bundle.pem").read_bytes()
            number = int(found["cert.pem"].split()[3])
            seen.add(number)
            if found != expected(number):
                errors.append(f"mixed files in generation {number}")
            if bundle != expected(int(bundle.split()[3]))["bundle.pem"]:
                errors.append("mixed bundle")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(2, 202):
            install(tmp_path, number)
    finally:
        stop.set()
        for reader in readers:
            reader.join(timeout=30)
    assert errors == []
    assert len(seen) > 10


def test_the_stored_chain_is_split_into_leaf_and_rest() -> None:
    leaf = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    upper = leaf.replace("AAAA", "BBBB")
    assert pems_of(leaf + upper + upper, None) == replace(
        pems(1), leaf=leaf.encode(), chain=(upper * 2).encode(), private_key=None
    )
    alone = pems_of(leaf, b"key\n")
    assert (alone.chain, alone.files()[-1].data) == (b"", leaf.encode())
    for damaged in ("", "x", "-----BEGIN CERTIFICATE-----\nAAAA", leaf + "é"):
        with pytest.raises(StorageError, match="damaged"):
            pems_of(damaged, None)


def test_live_moves_forward_only(tmp_path: Path) -> None:
    """Invariants 2 and 6; certbot once moved its links back to an expired lineage (I16)."""
    assert live_number(tmp_path, NAME) is None
    install(tmp_path, 7)
    assert (tmp_path / "live/example.org").readlink() == Path("../generations/example.org/7")
    write_generation(tmp_path, NAME, 6, pems(6))
    assert switch_live(tmp_path, NAME, 6) == 7
    assert contents(tmp_path / "live/example.org") == expected(7)
    install(tmp_path, 10)
    assert live_number(tmp_path, NAME) == 10


@pytest.mark.parametrize("gone", ["directory", "fullchain.pem"])
def test_a_link_to_a_newer_generation_that_is_gone_gives_way(tmp_path: Path, gone: str) -> None:
    """A ledger from a backup knows 7 as its newest: better than a link to nothing."""
    install(tmp_path, 8)
    newest = tmp_path / "generations/example.org/8"
    (newest / "fullchain.pem").unlink()
    if gone == "directory":
        newest.rename(tmp_path / "moved")
    install(tmp_path, 7)
    assert contents(tmp_path / "live/example.org") == expected(7)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("file", "a file stands where certd's link should be"),
        ("directory", "a directory stands where certd's link should be"),
        (
            "/etc/letsencrypt/live/example.org",
            "a link to '/etc/letsencrypt/live/example.org', which certd did not make",
        ),
        ("../generations/example.org/07", "which certd did not make"),
        ("../generations/other.example/7", "which certd did not make"),
        ("../generations/example.org/7/", "which certd did not make"),
    ],
)
def test_a_foreign_thing_in_the_place_of_the_link_stays_and_is_named(tmp_path: Path, kind: str, words: str) -> None:
    """FS6: the operator's decision is not ours to undo; nothing is lost meanwhile."""
    (tmp_path / "live").mkdir()
    place = tmp_path / "live/example.org"
    match kind:
        case "file":
            place.write_text("mine")
        case "directory":
            place.mkdir()
        case target:
            place.symlink_to(target)
    write_generation(tmp_path, NAME, 1, pems(1))
    with pytest.raises(StorageError, match=words) as caught:
        switch_live(tmp_path, NAME, 1)
    assert str(caught.value).startswith(str(place))
    assert "move it away" in caught.value.hint
    assert place.is_symlink() == kind.startswith(("/", "."))
    with pytest.raises(StorageError):
        live_number(tmp_path, NAME)


def test_a_wildcard_and_an_address_have_their_directories(tmp_path: Path) -> None:
    for name in ("*.example.org", "2001:db8::1", "::1"):
        write_generation(tmp_path, CertName(name), 1, pems(1))
        assert switch_live(tmp_path, CertName(name), 1) == 1
    assert sorted(p.name for p in (tmp_path / "live").iterdir()) == ["0--1", "2001-db8--1", "_wildcard.example.org"]
