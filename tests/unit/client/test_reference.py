"""References as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.errors import InvalidArgument
from registrar.reference import ModelRef, VersionRef
from registrar.values import Stage

TENANTS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
MODELS = st.builds(ModelRef, NAMES, st.one_of(st.just(""), TENANTS))
SEMANTIC = st.from_regex(r"(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){2}(-[a-z]{1,5}(\.[0-9])?)?", fullmatch=True)
RANGES = st.sampled_from(["^2.1", "~2.1.3-rc.1", "2.x", "2.1", "*", ">=2,<3", ">= 2.0 <3.0.0-rc", "2.1.0 - 2.3"])
VERSIONS = st.one_of(
    st.builds(VersionRef, MODELS, version=st.integers(1, 10**17)),
    st.builds(VersionRef, MODELS, alias=st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,63}", fullmatch=True)),
    st.builds(VersionRef, MODELS, stage=st.sampled_from([Stage.STAGING, Stage.PRODUCTION])),
    st.builds(VersionRef, MODELS, semantic_version=SEMANTIC),
    st.builds(VersionRef, MODELS, semantic_version=RANGES),
    st.builds(VersionRef, MODELS, uid=st.from_regex(r"[0-9a-f]{32}", fullmatch=True)),
)


@given(VERSIONS)
def test_a_reference_is_read_back_as_it_was_written(ref: VersionRef) -> None:
    assert VersionRef.parse(str(ref)) == ref


@given(st.text())
def test_whatever_is_no_reference_is_refused_as_an_invalid_argument(text: str) -> None:
    try:
        parsed = VersionRef.parse(text)
    except InvalidArgument as error:
        assert error.reason == "INVALID_FIELD"
        assert error.violations
    else:
        assert str(parsed) == text


@given(MODELS)
def test_a_model_reference_is_read_back_unless_it_looks_like_a_version(ref: ModelRef) -> None:
    if ref.tenant and ref.name.isdigit():
        with pytest.raises(InvalidArgument):
            ModelRef.parse(str(ref))
    else:
        assert ModelRef.parse(str(ref)) == ref


def test_a_number_behind_a_slash_is_a_version_and_a_name_in_front_of_it_a_model() -> None:
    assert VersionRef.parse("a/3") == VersionRef(ModelRef("a"), version=3)
    assert VersionRef.parse("acme/a/3") == VersionRef(ModelRef("a", "acme"), version=3)
    assert VersionRef.parse("a/1.2.3-rc.1").semantic_version == "1.2.3-rc.1"


def test_what_stands_behind_an_at_is_an_alias_if_it_begins_with_a_letter_and_a_range_otherwise() -> None:
    assert VersionRef.parse("acme/a@x") == VersionRef(ModelRef("a", "acme"), alias="x")
    assert VersionRef.parse("acme/a@2") == VersionRef(ModelRef("a", "acme"), semantic_version="2")
    assert VersionRef.parse("a@1.2.3") == VersionRef.parse("a/1.2.3")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/",
        "a/0",
        "a/-1",
        "a/x",
        "a@",
        "a@1x",
        "a@^",
        "a@^x.1",
        "a@1.2.3.4",
        "a@>=1 || 2",
        "a/^1",
        "a/1.2",
        "a:",
        "a:archived",
        "a:Production",
        "/3",
        "A/a/3",
        "a b/3",
        "a#1",
    ]
    + ["x/y/z/3", "a/01", "a/3\n", ".a/3", "a" * 129 + "/3"],
)
def test_malformed_references_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        VersionRef.parse(text)


def test_a_reference_needs_exactly_one_selector() -> None:
    with pytest.raises(InvalidArgument):
        VersionRef(ModelRef("a"))
    with pytest.raises(InvalidArgument):
        VersionRef(ModelRef("a"), version=1, alias="b")
