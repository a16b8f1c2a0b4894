"""A whole bundle on its way to a folder: all of it and verified, or nothing under the folder's name."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from registrar.download.carrier import OpenCarrier
from registrar.download.crew import fetch_all
from registrar.download.partial import PartialFolder
from registrar.errors import (
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    RegistrarError,
    ResourceExhausted,
    Unavailable,
)
from registrar.manifest import manifest_digest, path_problems
from registrar.progress import Meter
from registrar.types import Artifact
from registrar.values import BundleFile

_PASSING = (Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable)
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def pull_bundle(
    open_carrier: OpenCarrier,
    artifact: Artifact,
    files: Sequence[BundleFile],
    *,
    destination: Path,
    meter: Meter,
    range_bytes: int | None,
) -> None:
    """Fetch and verify every file in a folder beside the destination, and then give them the destination's name.

    `range_bytes` is what is asked for at once of a large file; None: all that is missing.
    Nothing half-done or corrupt is ever under that name. After Ctrl-C, a lost connection or a full disk the folder beside it
    stays, and the same pull goes on with it: notes of the exception say so (`__notes__`). After any other failure it is
    removed. Parent folders are made.
    Errors: AlreadyExists when the destination is there and no empty folder; DataLoss when a byte, a size or the manifest is
    wrong, or a path would lead out of the folder; ResourceExhausted DISK_FULL; OSError from the disk.
    """
    check_destination(destination)
    _check_manifest(files, artifact.manifest_digest)
    destination.parent.mkdir(parents=True, exist_ok=True)
    folder = PartialFolder.claim(destination, artifact.manifest_digest)
    is_kept = False
    try:
        _fetch(folder, files, open_carrier, meter, range_bytes)
        _give_name(folder, destination)
    except BaseException as exc:
        is_kept = _is_worth_keeping(exc) and folder.is_resumable
        if is_kept:
            exc.add_note(f"what has come is kept in {folder.path}; the same pull goes on with it")
        raise
    finally:
        folder.close(is_kept=is_kept)


def check_destination(destination: Path) -> None:
    """Refuse what must not be overwritten."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise _taken(destination, "is there already, and is no folder")
    if destination.is_dir() and any(destination.iterdir()):
        raise _taken(destination, "is there already, and is not empty")


def _fetch(
    folder: PartialFolder,
    entries: Sequence[BundleFile],
    open_carrier: OpenCarrier,
    meter: Meter,
    range_bytes: int | None,
) -> None:
    try:
        files = folder.files(entries)
        _check_room(folder.path, sum(file.entry.size_bytes - file.ranges.size_bytes for file in files))
        fetch_all(folder, files, open_carrier, meter, range_bytes=range_bytes)
    except OSError as exc:
        if exc.errno in _DISK_FULL:
            raise _disk_full(folder.path, "the disk is full, or a quota used up") from exc
        raise


def _check_room(path: Path, needed_bytes: int) -> None:
    """Say at once what would come out after hours."""
    usage = shutil.disk_usage(path)
    if usage.total and needed_bytes > usage.free:  # some file systems do not say
        raise _disk_full(path, f"{needed_bytes} bytes are needed, and {usage.free} are free")


def _disk_full(path: Path, problem: str) -> ResourceExhausted:
    return ResourceExhausted(
        f"there is no room in {path.parent}: {problem}", reason="DISK_FULL", metadata={"folder": str(path.parent)}
    )


def _is_worth_keeping(failure: BaseException) -> bool:
    """Whether the same pull can succeed later: after Ctrl-C, and what may pass."""
    if isinstance(failure, RegistrarError):
        return isinstance(failure, _PASSING) or failure.reason == "CLOSED"
    return isinstance(failure, OSError) or not isinstance(failure, Exception)


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


def _give_name(folder: PartialFolder, destination: Path) -> None:
    try:
        folder.give_name(destination)
    except OSError:
        check_destination(destination)  # somebody may have put something there meanwhile
        raise
