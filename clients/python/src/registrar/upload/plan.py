"""What is missing of a bundle, cut into jobs: what one stream carries, or one batch of presigned parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

JOB_RANGES = 1000
"""The most that one stream, or one batch of presigned parts, may name."""
PACK_BYTES = 64 << 20
"""Small ranges are put together up to about this size. A break costs nothing, for each part is durable by itself; the size only
has to be small beside a bundle, so that all lanes end at about the same time."""
PACK_FLOOR_BYTES = 8 << 20
"""Below it, a stream's beginning and end would take longer than its bytes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`length` bytes of a file, by its index in the manifest, from `offset`. An empty file is a piece of no bytes."""

    file: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


Job = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class MissingFile:
    """What is missing of a file, in order. A piece begins and ends at multiples of the part size, or where the file ends."""

    size_bytes: int
    part_size_bytes: int
    pieces: tuple[Piece, ...]


def job_bytes(job: Sequence[Piece]) -> int:
    """Sum of the lengths."""
    return sum(piece.length for piece in job)


def stream_jobs(files: Sequence[MissingFile], *, streams: int, split_bytes: int) -> list[Job]:
    """Jobs for streams, the largest first; each covers whole parts in the order of the files, together all that is missing.

    A file goes in one stream from its beginning to its end, for only then the registry need not read it back. Where
    there are fewer large pieces than streams, they are split among those that are free, into at least `split_bytes` each.
    """
    large = sum(piece.length >= split_bytes for file in files for piece in file.pieces)
    shares = max(1, streams // large) if large else 1
    pieces = [
        cut
        for file in files
        for piece in file.pieces
        for cut in _cut(piece, _share_bytes(piece, shares, split_bytes), file.part_size_bytes)
    ]
    return _packed(pieces, _pack_bytes(pieces, streams), weigh=lambda _: 1)


def part_jobs(files: Sequence[MissingFile], *, lanes: int) -> list[Job]:
    """Jobs for presigned parts, the largest first: each of whole parts, at most 1,000 of them."""
    part_sizes = {piece.file: file.part_size_bytes for file in files for piece in file.pieces}
    pieces = [
        cut
        for file in files
        for piece in file.pieces
        for cut in _cut(piece, min(PACK_BYTES, JOB_RANGES * file.part_size_bytes), file.part_size_bytes)
    ]
    return _packed(
        pieces, _pack_bytes(pieces, lanes), weigh=lambda piece: max(1, -(-piece.length // part_sizes[piece.file]))
    )


def still_missing(job: Sequence[Piece], missing: Mapping[int, MissingFile]) -> Job:
    """What of a job is missing now, in the job's order."""
    return tuple(
        both
        for wanted in job
        for now in (missing[wanted.file].pieces if wanted.file in missing else ())
        if (both := _overlap(wanted, now)) is not None
    )


def _overlap(one: Piece, other: Piece) -> Piece | None:
    begin, end = max(one.offset, other.offset), min(one.end, other.end)
    is_empty_file = one.length == 0 == other.length
    return Piece(one.file, begin, end - begin) if begin < end or is_empty_file else None


def _share_bytes(piece: Piece, shares: int, split_bytes: int) -> int:
    count = max(1, min(shares, piece.length // split_bytes))
    return max(1, -(-piece.length // count))


def _cut(piece: Piece, size_bytes: int, part_size_bytes: int) -> Iterator[Piece]:
    """Pieces of that size, rounded up to whole parts; the last one is what is left."""
    step = -(-size_bytes // part_size_bytes) * part_size_bytes
    for offset in range(piece.offset, max(piece.end, piece.offset + 1), step):
        yield Piece(piece.file, offset, min(step, piece.end - offset))


def _pack_bytes(pieces: Sequence[Piece], lanes: int) -> int:
    return min(PACK_BYTES, max(PACK_FLOOR_BYTES, job_bytes(pieces) // lanes))


def _packed(pieces: Sequence[Piece], target_bytes: int, *, weigh: Callable[[Piece], int]) -> list[Job]:
    jobs: list[Job] = []
    packed: list[Piece] = []
    weight = size = 0
    for piece in pieces:
        if piece.length >= target_bytes:
            jobs.append((piece,))
            continue
        if packed and (weight + weigh(piece) > JOB_RANGES or size + piece.length > target_bytes):
            jobs.append(tuple(packed))
            packed, weight, size = [], 0, 0
        packed.append(piece)
        weight += weigh(piece)
        size += piece.length
    if packed:
        jobs.append(tuple(packed))
    return sorted(jobs, key=job_bytes, reverse=True)
