"""Parts and ranges of the files of an upload session."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.domain.bundles import BundleFile, FileType
from registrar_server.domain.uploads import ByteRange, FileState, UploadFile, positions

MIB = 2**20


def made_file(size_bytes: int, part_size_bytes: int, state: FileState = FileState.MISSING) -> UploadFile:
    file = BundleFile("weights.bin", size_bytes, "a" * 64, FileType.MODEL)
    return UploadFile(0, file, part_size_bytes, state, "")


@st.composite
def files(draw: st.DrawFn) -> UploadFile:
    """Up to 40 parts, and sizes around the ends of parts more often than chance has them."""
    part = draw(st.integers(1, 50))
    whole = draw(st.integers(0, 40)) * part
    return made_file(max(0, whole + draw(st.sampled_from([-1, 0, 1, part // 2]))), part)


@st.composite
def files_with_parts(draw: st.DrawFn) -> tuple[UploadFile, list[int]]:
    """A file, and the numbers of the parts that were received, in any order."""
    file = draw(files())
    return file, draw(st.lists(st.integers(1, file.part_count), unique=True))


@given(files())
def test_the_parts_are_the_file_without_gap_or_overlap(file: UploadFile) -> None:
    parts = [file.part_range(number) for number in range(1, file.part_count + 1)]
    assert (parts[0].offset, parts[-1].end) == (0, file.file.size_bytes)
    assert all(before.end == after.offset for before, after in pairwise(parts))
    assert all(part.length == file.part_size_bytes for part in parts[:-1])
    assert parts[-1].length <= file.part_size_bytes
    assert parts[-1].length or not file.file.size_bytes


@given(files())
def test_a_file_is_multipart_when_it_has_more_than_one_part(file: UploadFile) -> None:
    assert file.is_multipart == (file.part_count > 1)


@given(files(), st.data())
def test_a_run_of_parts_is_named_by_its_bytes(file: UploadFile, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, file.part_count))
    last = data.draw(st.integers(first, file.part_count))
    begin, end = file.part_range(first).offset, file.part_range(last).end
    assert file.parts_of(ByteRange(begin, end - begin)) == range(first, last + 1)


@given(files(), st.integers(-3, 2_100), st.integers(-3, 2_100))
def test_only_ranges_of_whole_parts_name_parts(file: UploadFile, offset: int, length: int) -> None:
    runs = {
        (file.part_range(first).offset, file.part_range(last).end)
        for first in range(1, file.part_count + 1)
        for last in range(first, file.part_count + 1)
    }
    numbers = file.parts_of(ByteRange(offset, length))
    assert (numbers is not None) == ((offset, offset + length) in runs)
    if numbers is not None:
        assert sum(file.part_range(number).length for number in numbers) == length


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-10, 10), (0, -10), (0, 0), (5, 10), (0, 15), (10, 20), (20, 0), (25, 0), (20, 10), (30, 10), (10, -10)],
)
def test_a_range_beside_the_parts_names_none(offset: int, length: int) -> None:
    assert made_file(25, 10).parts_of(ByteRange(offset, length)) is None


def test_an_empty_file_has_one_part_with_an_empty_range() -> None:
    file = made_file(0, 10)
    assert (file.part_count, file.is_multipart) == (1, False)
    assert file.part_range(1) == ByteRange(0, 0)
    assert file.parts_of(ByteRange(0, 0)) == range(1, 2)
    assert file.parts_of(ByteRange(0, 1)) is None
    assert file.parts_of(ByteRange(10, 0)) is None
    assert list(file.missing([])) == [ByteRange(0, 0)]
    assert list(file.missing([1])) == []
    assert file.received_bytes([1]) == file.received_bytes([]) == 0


@given(files_with_parts())
def test_what_is_missing_and_what_was_received_are_the_whole_file(case: tuple[UploadFile, list[int]]) -> None:
    file, received = case
    missing = list(file.missing(received))
    named = [number for wanted in missing for number in file.parts_of(wanted) or ()]
    assert sorted([*named, *received]) == list(range(1, file.part_count + 1))
    assert sum(wanted.length for wanted in missing) + file.received_bytes(received) == file.file.size_bytes


@given(files_with_parts())
def test_missing_ranges_are_in_order_and_apart(case: tuple[UploadFile, list[int]]) -> None:
    file, received = case
    missing = list(file.missing(received))
    assert all(before.end < after.offset for before, after in pairwise(missing))


@given(files_with_parts(), st.sampled_from([state for state in FileState if state is not FileState.MISSING]))
def test_nothing_is_asked_for_of_a_file_that_is_not_missing(
    case: tuple[UploadFile, list[int]], state: FileState
) -> None:
    file = made_file(case[0].file.size_bytes, case[0].part_size_bytes, state)
    assert list(file.missing(case[1])) == []


@given(files_with_parts())
def test_a_file_with_all_its_parts_counts_in_full_in_every_later_state(case: tuple[UploadFile, list[int]]) -> None:
    size, part = case[0].file.size_bytes, case[0].part_size_bytes
    for state in (FileState.VERIFYING, FileState.STORED):
        assert made_file(size, part, state).received_bytes(case[1]) == size
    assert made_file(size, part, FileState.COPYING).received_bytes([]) == 0


def test_ten_thousand_parts_of_eight_mebibytes_are_one_range() -> None:
    file = made_file(10_000 * 8 * MIB, 8 * MIB)
    assert file.part_count == 10_000
    assert list(file.missing(range(2, 10_000))) == [
        ByteRange(0, 8 * MIB),
        ByteRange(9_999 * 8 * MIB, 8 * MIB),
    ]
    assert file.parts_of(ByteRange(0, file.file.size_bytes)) == range(1, 10_001)


@pytest.mark.parametrize(
    ("ranges", "text"),
    [
        ([], ""),
        ([ByteRange(0, 8_388_608)], "0-8388607"),
        ([ByteRange(0, 10), ByteRange(20, 5)], "0-9,20-24"),
        ([ByteRange(0, 0)], "0-0"),
    ],
)
def test_positions_include_both_ends(ranges: list[ByteRange], text: str) -> None:
    assert positions(ranges) == text
