"""Semantic versions: their order, and which of them a range allows. The oracle is the library `semantic-version`."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from semantic_version import NpmSpec, Version

from registrar_server.domain.semantic_versions import SemanticRange, SemanticVersion


def text_of(version: SemanticVersion) -> str:
    core = ".".join(map(str, version.core))
    return f"{core}-{version.pre_release}" if version.pre_release else core


NUMBERS = st.one_of(st.integers(0, 3), st.sampled_from([9, 10, 11, 999_999_999]))
IDENTIFIERS = st.one_of(
    st.integers(0, 12).map(str),
    st.integers(10**17, 10**19).map(str),
    st.from_regex(r"[0-9]{0,2}[a-bA-B-][a-bA-B0-1-]{0,2}", fullmatch=True),
)
PRE_RELEASES = st.lists(IDENTIFIERS, max_size=3).map(".".join)
VERSIONS = st.builds(SemanticVersion, NUMBERS, NUMBERS, NUMBERS, PRE_RELEASES)

OPERATORS = st.sampled_from(["", "=", "<", "<=", ">", ">=", "^", "~"])
SMALL = st.integers(0, 3)
PARTIALS = st.one_of(
    VERSIONS.map(text_of),
    st.lists(SMALL.map(str), min_size=1, max_size=3).map(".".join),
    st.lists(SMALL.map(str), min_size=1, max_size=2).map(lambda numbers: ".".join([*numbers, "x"])),
)
COMPARATORS = st.builds("".join, st.tuples(OPERATORS, PARTIALS))
RANGES = st.one_of(
    st.lists(COMPARATORS, min_size=1, max_size=3).map(" ".join),
    st.builds("{} - {}".format, PARTIALS, PARTIALS),
)
NEAR = st.builds(SemanticVersion, SMALL, SMALL, SMALL, st.sampled_from(["", "", "0", "a", "a.1", "b"]))


@given(VERSIONS)
def test_a_version_is_read_back_as_it_was_written(version: SemanticVersion) -> None:
    assert SemanticVersion.parse(text_of(version)) == version


@given(VERSIONS, VERSIONS)
def test_keys_are_ordered_as_versions_are(one: SemanticVersion, other: SemanticVersion) -> None:
    left, right = Version(text_of(one)), Version(text_of(other))
    assert (one.key.encode() < other.key.encode()) == (left < right)
    assert (one.key == other.key) == (left == right) == (one == other)


def test_the_order_is_that_of_the_specification() -> None:
    rising = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    rising += ["1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1", "10.0.0"]
    keys = [SemanticVersion.parse(text).key for text in rising]
    assert keys == sorted(keys)


@given(RANGES, NEAR)
def test_a_range_allows_what_npm_allows(text: str, version: SemanticVersion) -> None:
    # The oracle compares pre-releases with each half of a range by itself, npm with the whole.
    assume(not version.pre_release)
    expected = Version(text_of(version)) in NpmSpec(text)
    assert SemanticRange.parse(text).includes(version) == expected


@pytest.mark.parametrize(
    ("text", "allowed", "refused"),
    [
        ("2.1.3", "2.1.3", "2.1.4 2.1.3-rc.1"),
        ("=2.1", "2.1.0 2.1.9", "2.2.0 2.1.0-rc.1 2.2.0-0"),
        ("2.x", "2.0.0 2.9.9", "3.0.0 3.0.0-0 2.0.0-rc.1"),
        ("*", "0.0.0 9.9.9", "1.0.0-rc.1"),
        ("^2.1", "2.1.0 2.9.0", "2.0.9 3.0.0 3.0.0-0 2.1.0-rc.1"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
        ("^0.0.3", "0.0.3", "0.0.4 0.1.0"),
        ("^0.0", "0.0.0 0.0.9", "0.1.0"),
        ("^0", "0.0.0 0.9.9", "1.0.0"),
        ("^1.2.3-beta.2", "1.2.3-beta.2 1.2.3-beta.10 1.2.3 1.9.0", "1.2.3-beta.1 1.2.4-beta.3 2.0.0"),
        ("~2.1.3", "2.1.3 2.1.9", "2.1.2 2.2.0"),
        ("~2.1", "2.1.0 2.1.9", "2.2.0"),
        ("~2", "2.0.0 2.9.9", "3.0.0"),
        (">=2.0 <3", "2.0.0 2.9.9", "3.0.0 1.9.9 3.0.0-rc.1"),
        (">= 2.0, < 3", "2.0.0 2.9.9", "3.0.0 1.9.9"),
        (">2.1", "2.2.0 3.0.0", "2.1.0 2.1.9"),
        (">2.1.0", "2.1.1", "2.1.0"),
        ("<=2.1", "2.1.9 0.0.0", "2.2.0"),
        ("2.1.0 - 2.3", "2.1.0 2.3.9", "2.0.9 2.4.0"),
        ("2.1 - 2.3.4", "2.1.0 2.3.4", "2.3.5"),
        (">=3.0.0-alpha <3.0.0", "3.0.0-alpha 3.0.0-beta.1", "3.0.0 2.9.9 3.0.0-0"),
        (">2 <1", "", "0.0.0 1.0.0 2.0.0 3.0.0"),
        ("^999999999", "999999999.0.0 999999999.999999999.999999999", "999999998.0.0"),
    ],
)
def test_what_ranges_allow_and_refuse(text: str, allowed: str, refused: str) -> None:
    wanted = SemanticRange.parse(text)
    for version in allowed.split():
        assert wanted.includes(SemanticVersion.parse(version)), version
    for version in refused.split():
        assert not wanted.includes(SemanticVersion.parse(version)), version


@pytest.mark.parametrize(
    "text",
    ["", " ", "x.1", "1.x.1", "^", "1.2.3.4", "1.2-rc", "v1", "01.2", "1.2.3+b", ">>1", "1 -", "1 - 2 - 3", "^1 || ^2"]
    + ["latest", "1\n", "\u0661", "1" * 257, "1 " * 129, ">= 1.0.0-", "1000000000"],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must be a version, or a range|has \d+ characters)"):
        SemanticRange.parse(text)


@given(st.text(alphabet="0123x*.^~<>=- ,ab|", max_size=20))
def test_any_text_is_a_range_or_refused_in_words(text: str) -> None:
    try:
        wanted = SemanticRange.parse(text)
    except ValueError as error:
        assert str(error).startswith("must be a version, or a range such as")
    else:
        assert wanted.text == text
