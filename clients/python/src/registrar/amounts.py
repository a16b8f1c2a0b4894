"""Amounts and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def size(size_bytes: int) -> str:
    """`1.5 GiB`."""
    value = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{size_bytes} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def exactly(time: datetime) -> str:
    """`2026-03-01T09:30:00.250000Z`, as it is given to `--at`; without a fraction where there is none."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment(time: datetime) -> str:
    """`2026-03-01 09:30 UTC`."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
