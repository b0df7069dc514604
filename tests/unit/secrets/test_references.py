"""References to secrets: what each scheme reads, what it refuses, and that no value ever shows (invariant 8)."""

import copy
import os
import pprint
import traceback
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.model.errors import ConfigError
from certd.model.secret import Secret
from certd.secrets.references import LARGEST_SECRET, canonical_reference, parse_reference, resolver

VALUE = "c4n4ry-s3cr3t"


def secret_file(folder: Path, content: bytes = VALUE.encode(), mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("file:/etc/certd/key", "file:/etc/certd/key"),
        ("file:/etc/certd/../key with spaces: and colons", "file:/etc/certd/../key with spaces: and colons"),
        ("env:CERTD_TOKEN", "env:CERTD_TOKEN"),
        ("credential:cf.token-1@a", "credential:cf.token-1@a"),
    ],
)
def test_a_reference_stays_as_it_is(text: str, canonical: str) -> None:
    assert canonical_reference(text) == canonical


def test_a_relative_path_is_made_absolute() -> None:
    """A sweep years later may run in another directory."""
    assert canonical_reference("file:keys/a") == f"file:{Path.cwd()}/keys/a"
    assert canonical_reference("file:~/key") == f"file:{Path.home()}/key"


@pytest.mark.parametrize(
    "text",
    [VALUE, "", ":", f"{VALUE}:", "https://example.org/secret", f"FILE:{VALUE}", f" file:{VALUE}",
     "file:", "env:", f"env:{VALUE}!", "env:1A", "env:A B", "env:A=B", "env:Ä", "env:A\n",
     "credential:", f"credential:../{VALUE}", "credential:a/b", "credential:.", "credential:..", "credential:.hidden",
     "credential:a\0b", f"file:/x\0{VALUE}", f"file:~nobody-has-this-name/{VALUE}"],
)  # fmt: skip
def test_what_is_no_reference_is_refused_and_never_repeated(text: str) -> None:
    """A person who forgot `file:` has typed the secret itself."""
    with pytest.raises(ConfigError) as caught:
        parse_reference(text)

    assert VALUE not in shown(caught.value)


@given(st.text(max_size=80))
def test_no_text_is_anything_but_a_reference_or_a_config_error(text: str) -> None:
    for prefix in ("", "file:", "env:", "credential:"):
        try:
            reference = parse_reference(prefix + text)
        except ConfigError:
            continue
        assert parse_reference(str(reference)) == reference


class TestFile:
    @pytest.mark.parametrize(
        ("content", "value"),
        [
            (b"c4n4ry", "c4n4ry"),
            (b"c4n4ry\n", "c4n4ry"),
            (b"c4n4ry\r\n", "c4n4ry"),
            (b" c4n4ry \n\n", " c4n4ry \n"),
            (b"two\nlines\n", "two\nlines"),
            ("schlüssel".encode(), "schlüssel"),
            (b"x" * LARGEST_SECRET, "x" * LARGEST_SECRET),
        ],
        ids=["plain", "newline", "dos", "spaces-and-one-newline", "lines", "utf8", "largest"],
    )
    def test_its_text_without_the_last_line_end_is_the_secret(self, content: bytes, value: str, tmp_path: Path) -> None:
        secret = resolver({})(f"file:{secret_file(tmp_path, content)}")

        assert secret.reveal() == value

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o660, 0o440])
    def test_owner_and_group_may_read_it(self, mode: int, tmp_path: Path) -> None:
        """A group of its own is how an unprivileged daemon gets at a file of root's."""
        assert resolver({})(f"file:{secret_file(tmp_path, mode=mode)}").reveal() == VALUE

    @pytest.mark.parametrize(("mode", "verb"), [(0o644, "read"), (0o604, "read"), (0o602, "write"), (0o666, "read")])
    def test_a_file_that_everybody_can_read_or_write_is_refused(self, mode: int, verb: str, tmp_path: Path) -> None:
        path = secret_file(tmp_path, mode=mode)
        with pytest.raises(ConfigError, match=f"everybody on this host can {verb} it \\(mode {mode:04o}\\)") as caught:
            resolver({})(f"file:{path}")

        assert caught.value.hint == f"chmod 600 {path}"

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "is empty"),
            (b"\n", "is empty"),
            (b"\xff" + VALUE.encode(), "is not UTF-8"),
            (VALUE.encode() * 8000, "more than 64 KiB"),
        ],
        ids=["empty", "newline", "binary", "large"],
    )
    def test_what_is_no_secret_is_refused_and_not_shown(self, content: bytes, why: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=why) as caught:
            resolver({})(f"file:{secret_file(tmp_path, content)}")

        assert VALUE not in shown(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "missing"
        with pytest.raises(ConfigError, match=f"^file:{path}: cannot be read: no such file or directory$"):
            resolver({})(f"file:{path}")

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"is not a regular file|is a directory"):
            resolver({})(f"file:{tmp_path}")

    def test_a_pipe_that_nobody_writes_to_does_not_hold_us(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ConfigError, match="is not a regular file"):
            resolver({})(f"file:{tmp_path / 'pipe'}")

    def test_an_endless_device_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="is not a regular file"):
            resolver({})("file:/dev/zero")

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        """Kubernetes mounts secrets as links to links."""
        (tmp_path / "link").symlink_to(secret_file(tmp_path))

        assert resolver({})(f"file:{tmp_path / 'link'}").reveal() == VALUE

    def test_no_descriptor_is_left_open(self, tmp_path: Path) -> None:
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are wanted
        path = secret_file(tmp_path, mode=0o644)
        for _ in range(3):
            with pytest.raises(ConfigError):
                resolver({})(f"file:{path}")

        assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


class TestEnvironment:
    def test_a_variable_is_the_secret(self) -> None:
        assert resolver({"TOKEN": VALUE})("env:TOKEN").reveal() == VALUE

    @pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}, {"token": VALUE}])
    def test_one_that_is_not_set_is_named(self, environ: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match=r"^env:TOKEN: the variable is not set, or empty"):
            resolver(environ)("env:TOKEN")

    def test_octets_that_are_no_text_are_refused(self) -> None:
        """Python makes surrogates of them, which no encoder takes later."""
        with pytest.raises(ConfigError, match="env:TOKEN: is not UTF-8 text") as caught:
            resolver({"TOKEN": os.fsdecode(b"\xff" + VALUE.encode())})("env:TOKEN")

        assert VALUE not in shown(caught.value)


class TestCredential:
    def test_it_stands_in_the_folder_that_systemd_names(self, tmp_path: Path) -> None:
        (tmp_path / "cf").write_text(f"{VALUE}\n")
        (tmp_path / "cf").chmod(0o400)

        assert resolver({"CREDENTIALS_DIRECTORY": str(tmp_path)})("credential:cf").reveal() == VALUE

    def test_without_the_folder_the_unit_line_is_shown(self) -> None:
        with pytest.raises(ConfigError, match="there are no systemd credentials here") as caught:
            resolver({})("credential:cf")

        assert "LoadCredential=cf:/path/to/secret" in caught.value.hint

    def test_a_missing_one_is_named_by_its_reference(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"^credential:cf: cannot be read: no such file"):
            resolver({"CREDENTIALS_DIRECTORY": str(tmp_path)})("credential:cf")


@dataclass(frozen=True)
class Options:
    server: str
    token: Secret[str]
    other: Secret[str] | None = None


def test_a_secret_stays_hidden_within_the_options_that_hold_it() -> None:
    """What a plugin's author is likely to write into a debug log."""
    options = Options("ns1", Secret(VALUE))
    texts = [str(options), repr(replace(options, server="ns2")), pprint.pformat(options), str(vars(options))]
    texts += [str(asdict(options)), str(astuple(options)), pprint.pformat(asdict(options)), str(copy.deepcopy(options))]

    assert not [text for text in texts if VALUE in text]
    assert asdict(options)["token"] == options.token


def shown(error: ConfigError) -> str:
    """All that a log or a person could see of it, its causes and hint included."""
    return "".join(traceback.format_exception(error)) + error.hint + repr(error.__cause__)
