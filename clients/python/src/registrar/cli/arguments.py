"""What stands after `--metric`, `--param`, `--tag` and `--slice`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import typer

from registrar.values import MetricSlice, Parameter

T = TypeVar("T")

_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?")
_INT64 = range(-(2**63), 2**63)


def parse_parameter(text: str) -> Parameter:
    """`200` is an integer, `0.05` a double, `true` a truth value, all else text.

    Text stays also what would lose something: an integer of more than 64 bits or with zeros in front, a float that is
    not finite.
    """
    if _INTEGER.fullmatch(text) and int(text) in _INT64:
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    return text


def parse_metric(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number") from None
    if not math.isfinite(value):
        raise typer.BadParameter(f"{text!r} is not finite")
    return value


def parse_pairs(texts: Sequence[str], parse: Callable[[str], T]) -> dict[str, T]:
    """`K=V` for each, the values parsed; a key that is empty or there twice is refused."""
    values: dict[str, T] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE")
        if key in values:
            raise typer.BadParameter(f"{key!r} is given twice")
        values[key] = parse(value)
    return values


def parse_slices(texts: Sequence[str]) -> list[MetricSlice]:
    """`DIMENSION=VALUE:METRIC=NUMBER` for each; metrics of one slice are put together."""
    metrics: dict[tuple[str, str], dict[str, float]] = {}
    for text in texts:
        where, colon, measured = text.rpartition(":")
        dimension, first, value = where.partition("=")
        metric, second, amount = measured.rpartition("=")
        if not (colon and first and second and dimension and value and metric):
            raise typer.BadParameter(f"{text!r} is not of the form DIMENSION=VALUE:METRIC=NUMBER")
        of_slice = metrics.setdefault((dimension, value), {})
        if metric in of_slice:
            raise typer.BadParameter(f"{metric!r} of {where!r} is given twice")
        of_slice[metric] = parse_metric(amount)
    return [MetricSlice(dimension, value, found) for (dimension, value), found in metrics.items()]
