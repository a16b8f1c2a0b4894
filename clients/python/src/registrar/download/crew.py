"""Several threads that fetch the ranges of a bundle's files."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from registrar.download.carrier import Carrier, OpenCarrier
from registrar.download.file import PartialFile
from registrar.download.partial import PartialFolder
from registrar.errors import Cancelled, DataLoss, ResourceExhausted
from registrar.progress import Meter

RANGES_AT_ONCE = 4
RANGE_BYTES = 64 << 20
"""What is asked for at once of a file that is fetched in ranges: several of them travel side by side."""
CORES = os.cpu_count() or 1
NOTE_BYTES = 8 << 20
"""At most so much of a range is fetched again after a pull was killed."""
CHECK_SECONDS = 0.5
"""How often it is looked whether a range stands still."""


def range_bytes_for(*, direct: bool) -> int | None:
    """What to ask for at once of a large file; None: all that is missing.

    Stores give each connection so much and no more, so there ranges pay everywhere. Through the registry one stream keeps
    two cores busy: several bring nothing there, take its slots, and cannot be verified by it as a whole file is.
    """
    return RANGE_BYTES if direct or CORES >= 4 else None


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range that is missing: from its first byte to before its last. None at all: the file has to be checked only."""

    file: PartialFile
    start: int
    end: int


def fetch_all(
    folder: PartialFolder,
    files: Sequence[PartialFile],
    open_carrier: OpenCarrier,
    meter: Meter,
    *,
    range_bytes: int | None,
) -> None:
    """Fetch what is missing of the files, and verify them all; the first failure ends it, as does Ctrl-C.

    `range_bytes`: see `range_bytes_for`. Errors: those of the carriers; DataLoss; OSError from the disk.
    """
    crew = _Crew(folder, files, open_carrier, meter, range_bytes)
    executor = ThreadPoolExecutor(RANGES_AT_ONCE, thread_name_prefix="registrar-pull")
    try:
        running = {executor.submit(crew.work) for _ in range(RANGES_AT_ONCE)}
        while running:
            done, running = wait(running, timeout=CHECK_SECONDS, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            crew.check()
    finally:
        crew.stop()
        executor.shutdown(wait=True, cancel_futures=True)


class _Crew:
    """Who works through the pieces."""

    def __init__(
        self,
        folder: PartialFolder,
        files: Sequence[PartialFile],
        open_carrier: OpenCarrier,
        meter: Meter,
        range_bytes: int | None,
    ) -> None:
        self._folder = folder
        self._open_carrier = open_carrier
        self._meter = meter
        self._range_bytes = range_bytes
        self._lock = threading.Lock()
        self._pieces: deque[_Piece] = deque()
        self._left = {file.index: 0 for file in files}
        """How many pieces of each file are not done."""
        self._resumed = {file.index for file in files if file.ranges.size_bytes}
        self._running: set[Carrier] = set()
        self._is_stopped = False
        # The largest first, so that none of them is left alone at the end.
        for file in sorted(files, key=lambda file: file.entry.size_bytes, reverse=True):
            self._add(file)
        meter.skip(sum(file.ranges.size_bytes for file in files))

    def work(self) -> None:
        """Take pieces until there are no more."""
        while (piece := self._take()) is not None:
            descriptor = piece.file.open()
            try:
                if self._fetch(descriptor, piece) and self._is_last(piece.file):
                    self._verify(descriptor, piece.file)
            finally:
                os.close(descriptor)

    def check(self) -> None:
        """Break off what stands still."""
        with self._lock:
            running = list(self._running)
        for carrier in running:
            carrier.check()

    def stop(self) -> None:
        """End what is under way, and let nothing begin."""
        with self._lock:
            self._is_stopped = True
            running = list(self._running)
        for carrier in running:
            carrier.cancel()

    def _add(self, file: PartialFile) -> None:
        step = self._range_bytes or max(1, file.entry.size_bytes)
        pieces = [
            _Piece(file, at, min(end, at + step))
            for start, end in file.ranges.gaps(file.entry.size_bytes)
            for at in range(start, end, step)
        ] or [_Piece(file, 0, 0)]
        with self._lock:
            self._left[file.index] = len(pieces)
            self._pieces.extend(pieces)

    def _take(self) -> _Piece | None:
        with self._lock:
            return self._pieces.popleft() if self._pieces and not self._is_stopped else None

    def _is_last(self, file: PartialFile) -> bool:
        with self._lock:
            self._left[file.index] -= 1
            return not self._left[file.index]

    def _fetch(self, descriptor: int, piece: _Piece) -> bool:
        """Whether it is done; else the rest of it is for somebody else to fetch later."""
        if piece.start == piece.end:
            return True
        carrier = self._open_carrier(piece.file.entry, piece.start, piece.end - piece.start)
        self._begin(carrier)
        noted = position = piece.start
        try:
            for block in carrier:
                piece.file.write(descriptor, position, block)
                position += len(block)
                self._meter.add(len(block))
                if position - noted >= NOTE_BYTES:
                    self._folder.note(piece.file, noted, position - noted)
                    noted = position
        except ResourceExhausted as exc:
            if exc.reason != "NO_TRANSFER_SLOT" or not self._give_back(_Piece(piece.file, position, piece.end)):
                raise
            return False
        finally:
            with self._lock:
                self._running.discard(carrier)
            if position > noted:
                self._folder.note(piece.file, noted, position - noted)
        return True

    def _begin(self, carrier: Carrier) -> None:
        with self._lock:
            if self._is_stopped:
                raise Cancelled("the pull was cancelled")
            self._running.add(carrier)

    def _give_back(self, piece: _Piece) -> bool:
        """Leave a piece for which there is no slot for later; False when nobody else has one either."""
        with self._lock:
            if len(self._running) < 2:
                return False
            self._pieces.appendleft(piece)
            return True

    def _verify(self, descriptor: int, file: PartialFile) -> None:
        if file.is_intact(descriptor):
            return
        if file.index not in self._resumed:
            raise DataLoss(
                f"{file.entry.path}: its SHA-256 is not the manifest's",
                reason="DOWNLOAD_CORRUPT",
                metadata={"path": file.entry.path},
            )
        # What an earlier pull left is not what it was: begin this file again.
        self._resumed.discard(file.index)
        self._meter.add(-file.ranges.size_bytes)
        file.clear()
        self._add(file)
