"""Words, numbers, times and columns for people. Plain text: the same on a terminal and in a pipe."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

_UNITS = (
    (60, 1, "second"),
    (3600, 60, "minute"),
    (86_400, 3600, "hour"),
    (30 * 86_400, 86_400, "day"),
    (365 * 86_400, 30 * 86_400, "month"),
)


def plain(text: object) -> str:
    """One line without control characters: what others wrote must not steer this terminal."""
    return "".join(
        " " if c in "\n\r\t" else "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in {"Cc", "Cf"} else c
        for c in str(text)
    )


def ago(time: datetime, now: datetime | None = None) -> str:
    """`5 minutes ago`."""
    seconds = int(((now or datetime.now(UTC)) - time).total_seconds())
    if seconds < 1:
        return "just now"
    for limit, size, unit in _UNITS:
        if seconds < limit:
            return _counted(seconds // size, unit)
    return _counted(seconds // (365 * 86_400), "year")


def ahead(time: datetime, now: datetime | None = None) -> str:
    """`in 5 minutes`, to the nearest; of what is past `5 minutes ago`."""
    now = now or datetime.now(UTC)
    if time <= now:
        return ago(time, now)
    seconds = round((time - now).total_seconds())
    size = next((size for limit, size, _ in _UNITS if seconds < limit), 365 * 86_400)
    rounded = timedelta(seconds=max(1, round(seconds / size)) * size)
    return f"in {ago(now, now + rounded).removesuffix(' ago')}"


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'} ago"


def number(value: float) -> str:
    """Up to six significant digits."""
    return f"{value:.6g}"


def point_aligned(numbers: Sequence[str]) -> list[str]:
    """Numbers padded so that their decimal points stand below each other; an empty text stays one."""
    parts = [n.partition(".") for n in numbers]
    before = max((len(whole) for whole, _, _ in parts), default=0)
    after = max((len(point + rest) for _, point, rest in parts), default=0)
    return [f"{whole:>{before}}{point + rest:<{after}}" for whole, point, rest in parts]


def pairs(values: Mapping[str, object]) -> str:
    """`team=growth tier=1`."""
    return "  ".join(f"{plain(key)}={plain(value)}" for key, value in values.items())


def columns(rows: Iterable[Sequence[str]], *, right: Iterable[int] = (), indent: str = "", gap: str = "   ") -> str:
    """Rows with their cells below each other; those in `right` end below each other."""
    table = [[plain(cell) for cell in row] for row in rows]
    if not table:
        return ""
    widths = [max(_width(row[i]) for row in table) for i in range(len(table[0]))]
    flush_right = set(right)
    lines = []
    for row in table:
        cells = []
        for index, cell in enumerate(row):
            pad = " " * (widths[index] - _width(cell))
            cells.append(pad + cell if index in flush_right else cell + pad)
        lines.append((indent + gap.join(cells)).rstrip())
    return "\n".join(lines)


def shortened(text: str, width: int) -> str:
    """At most that wide, with an ellipsis where something is left out."""
    line = plain(text)
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1 for c in text
    )
