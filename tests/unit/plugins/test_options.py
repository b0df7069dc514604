"""A plugin's options, from what people type to its dataclass: every kind, every mistake, all at once (invariant 8)."""

import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certd.api import ConfigError, DnsProvider, ProviderSpec, Secret, Tools
from certd.plugins.fields import Kind, Option, options_of
from certd.plugins.options import Chosen, build, check, parse_pairs
from certd.secrets.references import canonical_reference

VALUE = "c4n4ry-s3cr3t"


@dataclass(frozen=True, slots=True)
class Every:
    """One option of every kind."""

    server: str = field(metadata={"doc": "where", "example": "ns1.example.org:53"})
    token: Secret[str] = field(metadata={"doc": "who"})
    retries: int = 3
    verbose: bool = False
    folder: Path | None = None
    zones: tuple[str, ...] = ("a", "b")
    spare: Secret[str] | None = None
    hidden: int = field(default=7, init=False)

    def __post_init__(self) -> None:
        if self.retries > 9:
            raise ConfigError(f"retries: {self.retries} is more than 9", hint="fewer")


def never_opened(options: object, tools: Tools) -> AbstractAsyncContextManager[DnsProvider]:
    raise AssertionError


def spec_of(options: type[Any]) -> ProviderSpec[Any]:
    return ProviderSpec(name="every", summary="for tests", options=options, open=never_opened)


SPEC = spec_of(Every)
LEAST = (("server", "ns1"), ("token", "env:TOKEN"))


def chosen(*pairs: tuple[str, str]) -> Chosen:
    return check(SPEC, pairs, canonical_reference)


def resolve(reference: str) -> Secret[str]:
    return Secret(f"{VALUE} of {reference}")


def mistakes(*pairs: tuple[str, str], spec: ProviderSpec[Any] = SPEC) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(spec, pairs, canonical_reference)
    lines = str(caught.value).splitlines()
    assert caught.value.hint == "certd providers show every"
    assert all(line.startswith("provider every: ") for line in lines)
    return [line.removeprefix("provider every: ") for line in lines]


def test_a_dataclass_says_what_options_there_are() -> None:
    assert options_of(Every) == (
        Option("server", Kind.TEXT, True, "", "where", "ns1.example.org:53"),
        Option("token", Kind.SECRET, True, "", "who"),
        Option("retries", Kind.NUMBER, False, "3", ""),
        Option("verbose", Kind.FLAG, False, "no", ""),
        Option("folder", Kind.PATH, False, "", ""),
        Option("zones", Kind.LIST, False, "a,b", ""),
        Option("spare", Kind.SECRET, False, "", ""),
    )


class TestPairs:
    def test_key_and_value_are_split_at_the_first_equals_sign(self) -> None:
        assert parse_pairs(["server=ns1", " key-name = a=b ", "empty="]) == (
            ("server", "ns1"),
            ("key_name", "a=b"),
            ("empty", ""),
        )

    def test_what_has_no_equals_sign_is_counted_and_not_repeated(self) -> None:
        """It may be the secret itself."""
        with pytest.raises(ConfigError) as caught:
            parse_pairs(["server=ns1", VALUE, f"={VALUE}"])

        assert str(caught.value).splitlines() == [
            "--dns-option: number 2 is not KEY=VALUE",
            "--dns-option: number 3 is not KEY=VALUE",
        ]


class TestCheck:
    @pytest.mark.parametrize(
        ("pair", "kept"),
        [
            (("retries", "0"), "0"),
            (("retries", "-3"), "-3"),
            (("verbose", "Yes"), "Yes"),
            (("verbose", "0"), "0"),
            (("folder", "/etc/../x"), "/etc/../x"),
            (("folder", "x/y"), f"{Path.cwd()}/x/y"),
            (("folder", "~/y"), f"{Path.home()}/y"),
            (("zones", " a , b ,,c "), ("a", "b", "c")),
            (("zones", ""), ()),
            (("spare", "file:key"), f"file:{Path.cwd()}/key"),
            (("server", ""), ""),
        ],
    )
    def test_values_are_kept_as_text_that_another_process_can_use(
        self, pair: tuple[str, str], kept: str | tuple[str, ...]
    ) -> None:
        pairs = [each for each in LEAST if each[0] != pair[0]]

        assert dict(chosen(*pairs, pair).values)[pair[0]] == kept

    def test_a_list_may_be_given_in_parts(self) -> None:
        assert dict(chosen(*LEAST, ("zones", "a,b"), ("zones", "c")).values)["zones"] == ("a", "b", "c")

    @pytest.mark.parametrize(
        ("pair", "mistake"),
        [
            (("retries", "three"), "retries: 'three' is not a whole number"),
            (("retries", "3.0"), "retries: '3.0' is not a whole number"),
            (("retries", "٣"), "retries: '٣' is not a whole number"),
            (("retries", "-"), "retries: '-' is not a whole number"),
            (("retries", "9" * 5000), "is not a whole number"),
            (("verbose", "maybe"), "verbose: 'maybe' is neither yes nor no"),
            (("folder", "a\0b"), "folder: 'a\\x00b' is not a path"),
            (("folder", "~nobody-has-this-name/x"), "folder: '~nobody-has-this-name/x' is not a path"),
            (("folder", ""), "folder: '' is not a path"),
            (("colour", VALUE), "colour: unknown option (there are: server, token, retries, verbose, folder"),
            (("retires", "3"), "retires: unknown option; did you mean retries?"),
            (("hidden", "3"), "hidden: unknown option"),
            (("spare", VALUE), "spare: a secret is given by reference (file:PATH, env:NAME or credential:NAME), not"),
            (("spare", f"env:{VALUE}!"), "spare: after env: a name is missing or has characters that it cannot have"),
        ],
    )
    def test_a_mistake_is_named_and_no_secret_repeated(self, pair: tuple[str, str], mistake: str) -> None:
        (told,) = mistakes(*LEAST, pair)

        assert mistake in told
        assert VALUE not in told
        assert len(told) < 300

    def test_all_mistakes_are_told_at_once(self) -> None:
        told = mistakes(
            ("sever", "ns1"), ("token", VALUE), ("retries", "x"), ("verbose", "x"), ("retries", "y"), ("folder", "/ok")
        )

        assert [line.split(":")[0] for line in told] == ["sever", "token", "retries", "verbose", "server"]
        assert "did you mean server?" in told[0]
        assert "is given more than once" in told[2]
        assert told[4] == "server: is required: where"

    def test_the_dataclass_has_a_word_as_well(self) -> None:
        assert mistakes(*LEAST, ("retries", "10")) == ["retries: 10 is more than 9 (fewer)"]

    def test_the_dataclass_sees_no_secret_while_it_checks(self) -> None:
        seen: list[str] = []

        @dataclass(frozen=True)
        class Curious:
            token: Secret[str]

            def __post_init__(self) -> None:
                seen.append(self.token.reveal())

        check(spec_of(Curious), [("token", "env:TOKEN")], canonical_reference)
        assert seen == [""]

    @pytest.mark.parametrize(
        "mistake", [ValueError("ttl too small"), KeyError("ttl"), ZeroDivisionError("ttl\n" * 999)]
    )
    def test_whatever_a_dataclass_raises_is_a_mistake_in_the_options(self, mistake: Exception) -> None:
        """An author who has not read that it must be ConfigError."""

        @dataclass(frozen=True)
        class Careless:
            ttl: int = 1

            def __post_init__(self) -> None:
                raise mistake

        (told,) = mistakes(spec=spec_of(Careless))
        assert "ttl" in told
        assert len(told) < 400


class TestBuild:
    def test_every_kind_arrives_as_its_type_and_secrets_are_resolved_now(self) -> None:
        options = build(
            SPEC,
            chosen(*LEAST, ("retries", "5"), ("verbose", "on"), ("folder", "/f"), ("zones", "x"), ("spare", "file:/s")),
            resolve,
        )

        assert options == Every(
            "ns1", resolve("env:TOKEN"), 5, verbose=True, folder=Path("/f"), zones=("x",), spare=resolve("file:/s")
        )
        assert VALUE not in f"{options!r} {options}"

    def test_defaults_stay_defaults(self) -> None:
        assert build(SPEC, chosen(*LEAST), resolve) == Every("ns1", resolve("env:TOKEN"))

    def test_every_secret_that_cannot_be_read_is_told(self) -> None:
        def refuse(reference: str) -> Secret[str]:
            raise ConfigError(f"{reference}: is not there", hint="chmod")

        with pytest.raises(ConfigError) as caught:
            build(SPEC, chosen(*LEAST, ("spare", "env:SPARE")), refuse)
        assert str(caught.value).splitlines() == [
            "provider every: spare: env:SPARE: is not there (chmod)",
            "provider every: token: env:TOKEN: is not there (chmod)",
        ]

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"server": "ns1", "token": "env:T", "gone": "x"}, "gone: unknown option"),
            ({"server": "ns1"}, "token"),
            ({"server": "ns1", "token": "env:T", "retries": "x"}, "retries: 'x' is not a whole number"),
            ({"server": "ns1", "token": "env:T", "retries": ["1"]}, "retries: has the wrong shape"),
            ({"server": "ns1", "token": "env:T", "zones": "a"}, "zones: has the wrong shape"),
            ({"server": ["ns1"], "token": "env:T"}, "server: has the wrong shape"),
        ],
    )
    def test_options_of_another_version_of_the_plugin_are_told(self, values: dict[str, Any], told: str) -> None:
        """The journal remembers what an earlier release was given."""
        with pytest.raises(ConfigError, match="provider every: ") as caught:
            build(SPEC, Chosen.from_json("every", json.dumps(values)), resolve)

        assert told in str(caught.value)


class TestJournal:
    def test_what_is_journalled_is_canonical_and_holds_references_only(self) -> None:
        one = chosen(("token", "env:TOKEN"), ("zones", "a,ä"), ("server", "ns1"))
        other = chosen(("server", "ns1"), ("zones", "a"), ("token", "env:TOKEN"), ("zones", "ä"))

        assert one.to_json() == other.to_json() == '{"server":"ns1","token":"env:TOKEN","zones":["a","ä"]}'

    @given(
        server=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        zones=st.lists(st.text(st.characters(exclude_categories=["Cs", "Z", "C"], exclude_characters=","), min_size=1)),
    )
    def test_what_was_journalled_is_read_back_as_it_was(self, server: str, zones: list[str]) -> None:
        given_ = check(
            SPEC, [("server", server), ("token", "env:TOKEN"), ("zones", ",".join(zones))], canonical_reference
        )

        assert Chosen.from_json("every", given_.to_json()) == given_

    @pytest.mark.parametrize(
        "text",
        ["", "x", "[]", "1", "null", '"a"', '{"a": 1}', '{"a": null}', '{"a": [1]}', '{"a": {"b": "c"}}', "[" * 9],
    )
    def test_what_is_not_such_text_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match="provider every: its journalled options cannot be read"):
            Chosen.from_json("every", text)


class NoDataclass:
    server: str


@dataclass
class Unresolvable:
    server: "NoSuchType"  # type: ignore[name-defined]  # noqa: F821


@dataclass
class OddType:
    ports: list[int]


@dataclass
class TwoTypes:
    port: int | str


@dataclass
class BrokenDefault:
    zones: tuple[str, ...] = field(default_factory=lambda: (1, 2))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (NoDataclass, "NoDataclass is not a dataclass"),
        (Unresolvable, "Unresolvable"),
        (OddType, "OddType.ports: options cannot have the type list[int]"),
        (TwoTypes, "TwoTypes.port: options cannot have the type int | str"),
        (BrokenDefault, "BrokenDefault"),
        (Every("a", Secret("b")), "is not a dataclass"),
        (None, "is not a dataclass"),
    ],
    ids=["no-dataclass", "unresolvable", "list", "union", "default", "instance", "none"],
)
def test_a_class_that_cannot_declare_options_is_the_authors_mistake(options: Any, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options_of(options)

    assert why in str(caught.value)
