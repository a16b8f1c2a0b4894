"""The ways that bytes can go: through the registry, or straight to its store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from registrar.connection import Connection
from registrar.errors import InvalidArgument
from registrar.manifest import LocalBundle
from registrar.upload.direct import DirectLane
from registrar.upload.lane import Lane
from registrar.upload.line import Line
from registrar.upload.plan import Job, MissingFile, part_jobs, stream_jobs
from registrar.upload.session import UploadSession
from registrar.upload.streams import StreamLane

STREAMS = 3
"""Streams at once. On two cores the CPU time is the same from one to four; more of them only hide the store's latency."""
SPLIT_BYTES = 1 << 62
"""No file is as large: none is split, for reading it back takes longer than its second stream saves."""
DIRECT_LANES = 4
"""Parts at once; their time is the store's."""
STALL_SECONDS = 30.0
"""A stream that takes nothing for so long is given up for another."""


class Way(Protocol):
    """How jobs are made of what is missing, and what carries them."""

    @property
    def lanes(self) -> int:
        """How many lanes there are."""

    def share(self, files: Sequence[MissingFile]) -> Sequence[tuple[Way, Sequence[MissingFile]]]:
        """Who carries which files, one after the other."""

    def lane(
        self,
        number: int,
        connection: Connection,
        transfers: Connection,
        session: UploadSession,
        bundle: LocalBundle,
    ) -> Lane:
        """The lane with that number, from 0."""

    def plan(self, files: Sequence[MissingFile]) -> Sequence[Job]:
        """The jobs, the one to begin with first."""


class ThroughRegistry:
    """WriteUpload streams, each but the first over a connection of its own: so they reach several workers of the server."""

    def __init__(self, streams: int, split_bytes: int) -> None:
        self.lanes = streams
        self._split_bytes = split_bytes

    def share(self, files: Sequence[MissingFile]) -> Sequence[tuple[Way, Sequence[MissingFile]]]:
        """See Way."""
        return [(self, files)]

    def lane(
        self,
        number: int,
        connection: Connection,
        transfers: Connection,
        session: UploadSession,
        bundle: LocalBundle,
    ) -> Lane:
        """See Way."""
        line = Line(transfers, is_own=number > 0)
        return StreamLane(line, session, bundle, stall_seconds=_stall_seconds(connection))

    def plan(self, files: Sequence[MissingFile]) -> Sequence[Job]:
        """See Way."""
        return stream_jobs(files, streams=self.lanes, split_bytes=self._split_bytes)


class StraightToStore:
    """Parts by presigned URLs, over connections of HTTP, for files of more than one part.

    What fits into one part goes through the registry, which packs many files into a stream and verifies them on the way:
    a URL, a record and a verification for each took eight times as long for a thousand files of 20 KiB.
    """

    def __init__(self, lanes: int, beside: ThroughRegistry) -> None:
        self.lanes = lanes
        self._beside = beside

    def share(self, files: Sequence[MissingFile]) -> Sequence[tuple[Way, Sequence[MissingFile]]]:
        """See Way."""
        large = [file for file in files if file.size_bytes > file.part_size_bytes]
        small = [file for file in files if file.size_bytes <= file.part_size_bytes]
        return [(self, large), (self._beside, small)]

    def lane(
        self,
        number: int,
        connection: Connection,
        transfers: Connection,
        session: UploadSession,
        bundle: LocalBundle,
    ) -> Lane:
        """See Way."""
        return DirectLane(connection, session, bundle, stall_seconds=_stall_seconds(connection))

    def plan(self, files: Sequence[MissingFile]) -> Sequence[Job]:
        """See Way."""
        return part_jobs(files, lanes=self.lanes)


def _stall_seconds(connection: Connection) -> float:
    return min(STALL_SECONDS, connection.timeout_seconds / 2)


def way_of(*, direct: bool, streams: int | None, split_bytes: int | None) -> Way:
    """The way that a caller chose; None: the default. Errors: InvalidArgument."""
    if (streams is not None and streams < 1) or (split_bytes is not None and split_bytes < 1):
        raise InvalidArgument("streams and split_bytes must be at least 1", reason="INVALID_FIELD")
    through = ThroughRegistry(streams or STREAMS, split_bytes or SPLIT_BYTES)
    return StraightToStore(streams or DIRECT_LANES, through) if direct else through
