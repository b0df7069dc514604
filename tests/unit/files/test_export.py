"""`--out`: copies with the owner, group and mode that were asked for, refused before the CA is asked (SE2, SE3)."""

import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from certd.files.access import Access, parse_access
from certd.files.export import check_export, export
from certd.model.errors import ConfigError, StorageError
from tests.unit.files.samples import contents, expected, pems

OTHER = 12345
ALL = ("privkey.pem", "bundle.pem", "cert.pem", "chain.pem", "fullchain.pem")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others, and stop being root")


@contextmanager
def without_root() -> Iterator[None]:
    os.seteuid(OTHER)
    try:
        yield
    finally:
        os.seteuid(0)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_first_copy_makes_the_directory_and_all_files(tmp_path: Path) -> None:
    out = tmp_path / "etc/nginx/tls"
    check_export(out)
    assert (mode(out), list(out.iterdir())) == (0o700, [])
    assert export(out, pems(1)) == ALL
    assert contents(out) == expected(1)
    assert {name: mode(out / name) for name in ALL} == {
        "privkey.pem": 0o600,
        "bundle.pem": 0o600,
        "cert.pem": 0o644,
        "chain.pem": 0o644,
        "fullchain.pem": 0o644,
    }


def test_only_what_changed_is_written_and_told(tmp_path: Path) -> None:
    """Watchers reload on every change; a renewal that kept its key leaves privkey.pem alone."""
    export(tmp_path, pems(1))
    before = (tmp_path / "privkey.pem").stat().st_ctime_ns
    assert export(tmp_path, pems(1)) == ()
    kept_key = pems(2)
    kept_key = type(kept_key)(kept_key.leaf, kept_key.chain, pems(1).private_key)
    assert export(tmp_path, kept_key) == ("bundle.pem", "cert.pem", "chain.pem", "fullchain.pem")
    assert (tmp_path / "privkey.pem").stat().st_ctime_ns == before
    (tmp_path / "privkey.pem").chmod(0o644)
    assert export(tmp_path, kept_key) == ("privkey.pem",), "a key that was opened to everybody is closed again"
    assert mode(tmp_path / "privkey.pem") == 0o600


def test_a_key_that_is_not_ours_stays(tmp_path: Path) -> None:
    """`--csr`: privkey.pem in the directory is the operator's."""
    (tmp_path / "privkey.pem").write_bytes(b"the operator's")
    (tmp_path / "dhparam.pem").write_bytes(b"other")
    assert export(tmp_path, pems(1, key=False)) == ("cert.pem", "chain.pem", "fullchain.pem")
    assert contents(tmp_path) == {
        **expected(1, key=False),
        "privkey.pem": b"the operator's",
        "dhparam.pem": b"other",
    }


@needs_root
def test_owner_group_and_mode_are_as_asked_for_and_restored(tmp_path: Path) -> None:
    access = Access(owner=OTHER, group=OTHER + 1, key_mode=0o640)
    out = tmp_path / "tls"
    check_export(out, access)
    export(out, pems(1), access)
    assert (out.stat().st_uid, out.stat().st_gid, mode(out)) == (OTHER, OTHER + 1, 0o750)
    for name in ALL:
        seen = (out / name).stat()
        assert (seen.st_uid, seen.st_gid) == (OTHER, OTHER + 1)
    assert (mode(out / "privkey.pem"), mode(out / "cert.pem")) == (0o640, 0o644)
    os.chown(out / "cert.pem", 0, 0)
    assert export(out, pems(1), access) == ("cert.pem",)
    assert (out / "cert.pem").stat().st_uid == OTHER


@needs_root
@pytest.mark.parametrize("access", [Access(owner=1), Access(group=1)])
def test_an_owner_that_cannot_be_set_is_refused_before_the_ca_is_asked(access: Access) -> None:
    """I19: renewals failed on preserving the owner, after the certificate was bought."""
    with tempfile.TemporaryDirectory() as text:  # pytest's own directories are closed to others
        out = Path(text)
        os.chown(out, OTHER, OTHER)
        with without_root():
            check_export(out)
            with pytest.raises(StorageError, match="owner, group and mode: not permitted") as caught:
                check_export(out, access)
        assert str(caught.value).startswith(text)
        assert "needs root" in caught.value.hint
        assert list(out.iterdir()) == []


@needs_root
def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with without_root(), pytest.raises(StorageError, match="permission denied"):
        check_export(Path("/usr"))
    with without_root(), pytest.raises(StorageError, match="permission denied"):
        check_export(Path("/usr/certd-test-out"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda out: out.write_text("a file"), "not a directory|something is there"),
        (lambda out: out.symlink_to(out.parent / "nowhere"), "not a directory"),
        (lambda out: (out / "privkey.pem").mkdir(parents=True), "a directory stands where the file should go"),
    ],
)
def test_something_else_in_the_place_of_directory_or_file_is_refused(tmp_path: Path, make: object, words: str) -> None:
    out = tmp_path / "out"
    assert callable(make)
    make(out)
    with pytest.raises(StorageError, match=words):
        check_export(out)
    with pytest.raises(StorageError):
        export(out, pems(1))


def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    """The operator named it; the links inside are another matter."""
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    check_export(tmp_path / "out")
    export(tmp_path / "out", pems(1))
    assert contents(tmp_path / "real") == expected(1)


def test_links_and_pipes_in_the_place_of_files_are_replaced_and_never_followed(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.write_bytes(b"precious")
    out.mkdir()
    (out / "privkey.pem").symlink_to(outside)
    (out / ".privkey.pem.certd-new").symlink_to(outside)
    (out / ".certd-check").symlink_to(outside)
    os.link(outside, out / "cert.pem")
    os.mkfifo(out / "chain.pem")
    check_export(out)
    export(out, pems(1))
    assert outside.read_bytes() == b"precious"
    assert contents(out) == expected(1)
    assert not (out / "privkey.pem").is_symlink()


def test_an_attacker_who_swaps_links_all_the_time_writes_nothing_outside(tmp_path: Path) -> None:
    """SE3: whoever can write to the directory can spoil the copies, but not reach beyond."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.write_bytes(b"precious")
    outside.chmod(0o600)
    out.mkdir()
    stop, swaps = threading.Event(), 0

    def swap() -> None:
        nonlocal swaps
        while not stop.is_set():
            for name in ("privkey.pem", ".privkey.pem.certd-new", ".cert.pem.certd-new"):
                with suppress(OSError):
                    (out / name).unlink()
                with suppress(OSError):
                    (out / name).symlink_to(outside)
                    swaps += 1

    attacker = threading.Thread(target=swap)
    attacker.start()
    refused = 0
    try:
        for number in range(1, 200):
            try:
                export(out, pems(number))
            except StorageError:
                refused += 1
    finally:
        stop.set()
        attacker.join(timeout=30)
    assert swaps > 100
    assert outside.read_bytes() == b"precious"
    assert mode(outside) == 0o600
    export(out, pems(1))
    assert contents(out) == expected(1)


@pytest.mark.parametrize(
    ("owner", "group", "text", "wanted"),
    [
        ("", "", "", Access()),
        ("root", "", "", Access(owner=0)),
        ("0", "12345", "", Access(owner=0, group=12345, key_mode=0o640)),
        ("", "root", "0600", Access(group=0, key_mode=0o600)),
        ("", "", "640", Access(key_mode=0o640)),
        ("", "", "0o440", Access(key_mode=0o440)),
    ],
)
def test_owner_group_and_mode_are_read_as_people_write_them(owner: str, group: str, text: str, wanted: Access) -> None:
    assert parse_access(owner, group, text) == wanted


@pytest.mark.parametrize(
    ("owner", "group", "text", "words"),
    [
        ("no-such-user", "", "", "not a user"),
        ("a\x00b", "", "", "not a user"),
        ("", "no-such-group", "", "not a group"),
        ("", "", "rw-r-----", "not an octal file mode"),
        ("", "", "0689", "not an octal file mode"),
        ("", "", "00640", "not an octal file mode"),
        ("", "", "0644", "everybody"),
        ("", "", "0604", "everybody"),
        ("", "", "0040", "no mode for a private key"),
        ("", "", "0700", "no mode for a private key"),
        ("", "", "4600", "no mode for a private key"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_done(owner: str, group: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_access(owner, group, text)
