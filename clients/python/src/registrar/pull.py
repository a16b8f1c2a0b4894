"""A whole bundle on its way to a folder: all of it and verified, or nothing."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from registrar.connection import Connection
from registrar.download import FileDownload
from registrar.errors import AlreadyExists, Cancelled, DataLoss
from registrar.manifest import manifest_digest, path_problems
from registrar.progress import Meter
from registrar.types import Artifact
from registrar.values import BundleFile

FILES_AT_ONCE = 4


def pull_bundle(
    connection: Connection,
    artifact: Artifact,
    files: Sequence[BundleFile],
    *,
    destination: Path,
    meter: Meter,
) -> None:
    """Fetch and verify every file into a folder beside the destination, and then give it the destination's name.

    Nothing half-done or corrupt is ever under that name, and nothing else stays after a failure. The folder beside it
    is called `.<name>.<id>.partial`; only a killed process leaves one. Parent folders are made.
    Errors: AlreadyExists when the destination is there and no empty folder; DataLoss when a byte, a size or the
    manifest is wrong, or a path would lead out of the folder; OSError from the disk.
    """
    check_destination(destination)
    _check_manifest(files, artifact.manifest_digest)
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.parent / f".{destination.name}.{uuid.uuid4().hex[:12]}.partial"
    partial.mkdir()
    try:
        _Fetch(connection, artifact, partial, meter).run(files)
        _give_name(partial, destination)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_destination(destination: Path) -> None:
    """Refuse what must not be overwritten."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise _taken(destination, "is there already, and is no folder")
    if destination.is_dir() and any(destination.iterdir()):
        raise _taken(destination, "is there already, and is not empty")


def _taken(destination: Path, problem: str) -> AlreadyExists:
    return AlreadyExists(
        f"{destination} {problem}", reason="DESTINATION_EXISTS", metadata={"destination": str(destination)}
    )


def _check_manifest(files: Sequence[BundleFile], digest: str) -> None:
    if problems := path_problems([file.path for file in files]):
        first = problems[0]
        raise DataLoss(
            f"the bundle cannot be written to a folder: {first.field!r} {first.description}",
            reason="MANIFEST_CORRUPT",
            violations=problems,
        )
    if (found := manifest_digest(files)) != digest:
        raise DataLoss(
            f"the list of files has the digest {found}, the version says {digest}", reason="MANIFEST_CORRUPT"
        )


def _give_name(partial: Path, destination: Path) -> None:
    try:
        if os.name == "nt" and destination.is_dir():
            destination.rmdir()  # renaming onto an empty folder is POSIX's
        partial.rename(destination)
    except OSError:
        check_destination(destination)  # somebody may have put something there meanwhile
        raise


class _Fetch:
    """Several files at once, each in a thread; the first failure ends them all."""

    def __init__(self, connection: Connection, artifact: Artifact, folder: Path, meter: Meter) -> None:
        self._connection = connection
        self._artifact = artifact
        self._folder = folder
        self._meter = meter
        self._lock = threading.Lock()
        self._running: set[FileDownload] = set()
        self._is_stopped = False

    def run(self, files: Sequence[BundleFile]) -> None:
        """Fetch them all, the largest first, so that none of them is left alone at the end."""
        executor = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="registrar-pull")
        try:
            ordered = sorted(files, key=lambda file: file.size_bytes, reverse=True)
            for future in as_completed([executor.submit(self._fetch, file) for file in ordered]):
                future.result()
        finally:
            self._stop()
            executor.shutdown(wait=True, cancel_futures=True)

    def _stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            running = list(self._running)
        for download in running:
            download.cancel()

    def _fetch(self, file: BundleFile) -> None:
        target = self._folder.joinpath(*file.path.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        download = FileDownload(self._connection, self._artifact, file.path, expected=file)
        with self._lock:
            if self._is_stopped:
                raise Cancelled("the pull was cancelled")
            self._running.add(download)
        try:
            with target.open("xb") as stream:
                for block in download:
                    stream.write(block)
                    self._meter.add(len(block))
        finally:
            with self._lock:
                self._running.discard(download)
