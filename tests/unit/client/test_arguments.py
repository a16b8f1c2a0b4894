"""What stands after `--param`, `--metric`, `--tag` and `--slice`."""

from __future__ import annotations

import math

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from registrar.cli.arguments import parse_metric, parse_pairs, parse_parameter, parse_slices
from registrar.values import MetricSlice, Parameter


@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_type_and_value(value: float) -> None:
    parsed = parse_parameter(repr(value))
    assert (type(parsed), parsed) == (type(value), value)


@given(st.text())
def test_all_else_is_text_as_it_was_and_nothing_is_not_finite(text: str) -> None:
    parsed = parse_parameter(text)
    if isinstance(parsed, str):
        assert parsed == text
    else:
        assert math.isfinite(parsed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200", 200),
        ("-7", -7),
        ("0.05", 0.05),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("False", False),
        ("adam", "adam"),
        ("", ""),
        ("007", "007"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1e999", "1e999"),
        (str(2**63), str(2**63)),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        ("\u0661", "\u0661"),
    ],
)
def test_the_type_of_a_parameter_is_the_one_it_is_written_in(text: str, expected: Parameter) -> None:
    parsed = parse_parameter(text)
    assert (type(parsed), parsed) == (type(expected), expected)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "x", "", "1e999"])
def test_a_metric_is_a_finite_number(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_metric(text)


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert parse_pairs(["a=1", "url=x=y", "empty="], str) == {"a": "1", "url": "x=y", "empty": ""}


@pytest.mark.parametrize("texts", [["a"], ["=1"], ["a=1", "a=2"]])
def test_pairs_that_are_none_or_there_twice_are_refused(texts: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        parse_pairs(texts, str)


def test_metrics_of_one_slice_are_put_together() -> None:
    assert parse_slices(["region=eu:auc=0.9", "region=eu:f1=0.8", "time=09:30:auc=0.7"]) == [
        MetricSlice("region", "eu", {"auc": 0.9, "f1": 0.8}),
        MetricSlice("time", "09:30", {"auc": 0.7}),
    ]


@pytest.mark.parametrize(
    "text", ["region", "region=eu", "region:auc=1", "=eu:auc=1", "region=eu:auc", "a=b:=1", "a=:b=1"]
)
def test_malformed_slices_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_slices([text])
