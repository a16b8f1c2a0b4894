"""What stands after `--metric`, `--param`, `--tag`, `--slice`, `--grant`, `--ttl`, `--quota` and `--since`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import typer

from registrar.access_types import Grant, Quotas, Right
from registrar.values import MetricSlice, Parameter, Stage

T = TypeVar("T")

_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?")
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AMOUNT = re.compile(r"([0-9]{1,15})(?:([kMGTP])(i?)B)?")
_POWERS = {"k": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_QUOTAS = ("models", "versions", "bytes", "concurrent_transfers")
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


def parse_grants(texts: Sequence[str]) -> list[Grant]:
    """`read`, `promote:staging,production`, `move_alias:champion,canary-*`, `approve:risk` for each."""
    return [_grant(text) for text in texts]


def _grant(text: str) -> Grant:
    name, _, rest = text.partition(":")
    try:
        right = Right(name.replace("-", "_"))
    except ValueError:
        raise typer.BadParameter(f"{name!r} is no right; there are {', '.join(Right)}") from None
    limits = [limit for limit in rest.split(",") if limit]
    if ":" in text and not limits:
        raise typer.BadParameter(f"{text!r} names nothing behind the colon")
    match right:
        case _ if not limits:
            return Grant(right)
        case Right.PROMOTE:
            return Grant(right, stages=[_stage(limit) for limit in limits])
        case Right.MOVE_ALIAS:
            return Grant(right, alias_patterns=limits)
        case Right.APPROVE:
            return Grant(right, approver_roles=limits)
        case _:
            raise typer.BadParameter(f"{right} cannot be limited")


def _stage(text: str) -> Stage:
    try:
        return Stage(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no stage; there are {', '.join(Stage)}") from None


def parse_duration(text: str) -> int:
    """Seconds of `45s`, `30m`, `8h`, `90d`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not of the form 30m, 8h or 90d")
    return int(found[1]) * _SECONDS[found[2]]


def parse_time(text: str) -> datetime:
    """An aware time: `2026-03-01`, `2026-03-01T14:05`, in UTC unless it says its zone; or `7d`, so long ago."""
    ago = _DURATION.fullmatch(text)
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not of the form 2026-03-01, 2026-03-01T14:05 or 7d") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def parse_quotas(texts: Sequence[str], before: Quotas) -> Quotas:
    """What tenants may hold after `models=100`, `bytes=2TB`, `bytes=500GiB`, `versions=none` (unlimited) for each."""
    given = parse_pairs(texts, _amount)
    if unknown := [name for name in given if name not in _QUOTAS]:
        raise typer.BadParameter(f"{unknown[0]!r} is no quota; there are {', '.join(_QUOTAS)}")
    return replace(before, **given)


def _amount(text: str) -> int | None:
    if text == "none":
        return None
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no amount: a number, as 500GB or 2TiB for bytes, or none")
    base = 1024 if found[3] else 1000
    factor: int = base ** _POWERS.get(found[2], 0)
    return int(found[1]) * factor
