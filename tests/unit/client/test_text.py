"""Words, numbers and columns for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.amounts import size
from registrar.cli.text import ago, columns, plain, point_aligned, shortened

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (-5, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86_400 * 3, "3 days ago"),
        (86_400 * 45, "1 month ago"),
        (86_400 * 800, "2 years ago"),
    ],
)
def test_times_are_told_in_the_largest_unit(seconds: int, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


@given(st.text())
def test_what_others_wrote_cannot_steer_the_terminal(text: str) -> None:
    assert all(c.isprintable() or c == " " or ord(c) > 127 for c in plain(text))
    assert "\x1b" not in plain(text)
    assert len(shortened(text, 10)) <= 10


def test_columns_stand_below_each_other_also_with_wide_and_combining_letters() -> None:
    table = columns([("名", "1", "x"), ("ab", "23", ""), ("e\u0301", "4", "y")], right=(1,))
    assert table == "名    1   x\nab   23\ne\u0301     4   y"


def test_numbers_stand_with_their_points_below_each_other() -> None:
    assert point_aligned(["1.5", "12", "0.25"]) == [" 1.5 ", "12   ", " 0.25"]


def test_sizes_are_told_in_binary_units() -> None:
    assert [size(n) for n in (0, 1023, 1024, 3 * 2**20, 5 * 2**40)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "3.0 MiB",
        "5.0 TiB",
    ]
