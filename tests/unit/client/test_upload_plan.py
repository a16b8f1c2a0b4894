"""How what is missing is cut into jobs, and what the report counts."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from registrar.upload.plan import JOB_RANGES, Job, MissingFile, Piece, job_bytes, part_jobs, still_missing, stream_jobs
from registrar.upload.report import UploadReport

MIB = 1 << 20


@st.composite
def missing_files(draw: st.DrawFn) -> list[MissingFile]:
    """Files with some of their parts missing, from one byte to a few thousand parts."""
    files = []
    for index in sorted(draw(st.sets(st.integers(0, 3000), max_size=40))):
        part = draw(st.sampled_from([1, 7, 5 * MIB, 8 * MIB, 100 * MIB]))
        size = draw(st.one_of(st.integers(0, 3 * part), st.integers(0, 2500 * part)))
        count = max(1, -(-size // part))
        received = draw(st.sets(st.integers(0, count - 1), max_size=min(4, count - 1)))
        pieces = []
        begin = None
        for number in [*sorted({0, *received, *(n + 1 for n in received)}), count]:
            if begin is not None and (number in received or number == count):
                pieces.append(Piece(index, begin * part, min(number * part, size) - begin * part))
                begin = None
            if begin is None and number not in received and number < count:
                begin = number
        files.append(MissingFile(size, part, tuple(pieces)))
    return files


def bounds(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces in order, those that touch joined."""
    joined: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: (p.file, p.offset)):
        if joined and (joined[-1].file, joined[-1].end) == (piece.file, piece.offset):
            joined[-1] = Piece(piece.file, joined[-1].offset, joined[-1].length + piece.length)
        else:
            joined.append(piece)
    return joined


def check(files: Sequence[MissingFile], jobs: Sequence[Job]) -> None:
    wanted = [piece for file in files for piece in file.pieces]
    found = [piece for job in jobs for piece in job]
    assert sum(p.length for p in found) == sum(p.length for p in wanted)
    assert bounds(found) == bounds(wanted)  # with the sum: nothing twice
    parts = {piece.file: file for file in files for piece in file.pieces}
    for job in jobs:
        assert 1 <= len(job) <= JOB_RANGES
        assert list(job) == sorted(job, key=lambda p: (p.file, p.offset))
        for piece in job:
            file = parts[piece.file]
            assert piece.offset % file.part_size_bytes == 0
            assert piece.end == file.size_bytes or piece.end % file.part_size_bytes == 0
            assert piece.length or not file.size_bytes
    assert [job_bytes(job) for job in jobs] == sorted(map(job_bytes, jobs), reverse=True)


@given(missing_files(), st.integers(1, 16), st.sampled_from([1, 64 * MIB, 1 << 62]))
def test_streams_carry_exactly_what_is_missing(files: list[MissingFile], streams: int, split_bytes: int) -> None:
    check(files, stream_jobs(files, streams=streams, split_bytes=split_bytes))


@given(missing_files(), st.integers(1, 16))
def test_presigned_parts_are_exactly_what_is_missing(files: list[MissingFile], lanes: int) -> None:
    jobs = part_jobs(files, lanes=lanes)
    check(files, jobs)
    parts = {piece.file: file.part_size_bytes for file in files for piece in file.pieces}
    for job in jobs:
        assert sum(max(1, -(-piece.length // parts[piece.file])) for piece in job) <= 1000


@given(missing_files(), st.integers(1, 16))
def test_a_file_goes_in_one_stream_when_nothing_is_to_be_split(files: list[MissingFile], streams: int) -> None:
    jobs = stream_jobs(files, streams=streams, split_bytes=1 << 62)
    assert {piece for job in jobs for piece in job} == {piece for file in files for piece in file.pieces}


def whole(index: int, size: int, part: int = 8 * MIB) -> MissingFile:
    return MissingFile(size, part, (Piece(index, 0, size),))


def test_one_large_file_is_split_among_idle_streams() -> None:
    jobs = stream_jobs([whole(0, 4096 * MIB)], streams=4, split_bytes=512 * MIB)
    assert [job[0].length for job in jobs] == [1024 * MIB] * 4


def test_no_share_of_a_file_is_smaller_than_was_said() -> None:
    jobs = stream_jobs([whole(0, 1100 * MIB)], streams=4, split_bytes=512 * MIB)
    assert [job[0].length for job in jobs] == [552 * MIB, 548 * MIB]


def test_files_that_keep_all_streams_busy_are_not_split() -> None:
    jobs = stream_jobs([whole(index, 1024 * MIB) for index in range(4)], streams=4, split_bytes=256 * MIB)
    assert [len(job) for job in jobs] == [1] * 4


def test_many_small_files_share_streams() -> None:
    jobs = stream_jobs([whole(index, 20_000) for index in range(10_000)], streams=4, split_bytes=1 << 62)
    assert len(jobs) <= 30
    assert {len(job) for job in jobs[:-1]} <= set(range(300, 1001))


@given(missing_files(), st.data())
def test_what_is_still_missing_is_what_is_missing_of_both(files: list[MissingFile], data: st.DataObject) -> None:
    jobs = stream_jobs(files, streams=2, split_bytes=1 << 62)
    now = {
        file.pieces[0].file: MissingFile(
            file.size_bytes, file.part_size_bytes, tuple(p for p in file.pieces if data.draw(st.booleans()))
        )
        for file in files
    }
    left = [piece for job in jobs for piece in still_missing(job, now)]
    assert bounds(left) == bounds([piece for file in now.values() for piece in file.pieces])
    assert all(still_missing(job, {}) == () for job in jobs)


def test_a_piece_that_is_half_there_is_cut() -> None:
    now = {3: MissingFile(100, 10, (Piece(3, 20, 30), Piece(3, 90, 10)))}
    assert still_missing((Piece(2, 0, 5), Piece(3, 0, 40), Piece(3, 60, 40)), now) == (
        Piece(3, 20, 20),
        Piece(3, 90, 10),
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(0, 30)), max_size=30))
def test_the_report_counts_each_byte_that_is_sent_again(sent: list[tuple[int, int, int]]) -> None:
    report = UploadReport()
    known: set[tuple[int, int]] = set()
    total = again = 0
    for file, offset, length in sent:
        report.count_sent(file, offset, length)
        positions = {(file, position) for position in range(offset, offset + length)}
        total += length
        again += len(positions & known)
        known |= positions
    assert (report.sent_bytes, report.resent_bytes) == (total, again)
