"""The folder in which a pull collects files, and which the next pull of the same bundle goes on with."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import threading
import uuid
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Self

from registrar.download.file import PartialFile
from registrar.values import BundleFile

if sys.platform != "win32":
    import fcntl

_DIGEST_CHARACTERS = 12
_LOCK_TRIES = 10


class PartialFolder:
    """`.<name>.<begin of the manifest's digest>.partial` beside a destination; close it, whatever happened.

        files/   what will get the destination's name
        pieces   which ranges of which files were written: `<index> <offset> <length>` in each line

    It is locked while a pull uses it: a second pull of the same bundle to the same destination gets a folder of its own,
    which nothing goes on with later. So does a pull where folders cannot be locked.
    """

    def __init__(self, path: Path, lock: int | None, *, is_resumable: bool) -> None:
        self._path = path
        self._lock = lock
        self._is_resumable = is_resumable
        self._files_folder = path / "files"
        self._files_folder.mkdir(exist_ok=True)
        self._journal_lock = threading.Lock()
        self._journal = os.open(
            path / "pieces", os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666
        )

    @classmethod
    def claim(cls, destination: Path, manifest_digest: str) -> Self:
        """The folder of an earlier pull, or a new one. The destination's parent is there. Errors: OSError."""
        digest = manifest_digest.removeprefix("sha256:")[:_DIGEST_CHARACTERS]
        path = _path_of(destination, digest)
        lock = _claim(path)
        if lock is not None:
            return cls(path, lock, is_resumable=True)
        path = _path_of(destination, uuid.uuid4().hex[:_DIGEST_CHARACTERS])
        path.mkdir()
        return cls(path, _claim(path), is_resumable=False)

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    @property
    def is_resumable(self) -> bool:
        """Whether a later pull finds it, and finds anything."""
        return self._is_resumable and os.fstat(self._journal).st_size > 0

    def files(self, entries: Sequence[BundleFile]) -> list[PartialFile]:
        """The bundle's files with what is there of them. Whatever else lies in the folder is removed. Errors: OSError."""
        ordered = sorted(entries, key=lambda entry: entry.path.encode())
        files = [
            PartialFile(index, entry, self._files_folder.joinpath(*entry.path.split("/")))
            for index, entry in enumerate(ordered)
        ]
        self._clean({file.path for file in files})
        for index, offset, length in self._read_journal():
            if index < len(files) and offset + length <= files[index].entry.size_bytes:
                files[index].ranges.add(offset, offset + length)
        for file in files:
            if file.ranges.end and (not file.path.exists() or file.path.stat().st_size < file.ranges.end):
                file.ranges.clear()
        self._write_journal(files)
        return files

    def note(self, file: PartialFile, offset: int, length: int) -> None:
        """Remember that these bytes were written. Errors: OSError."""
        if self._is_resumable:
            with self._journal_lock:
                os.write(self._journal, f"{file.index} {offset} {length}\n".encode())

    def give_name(self, destination: Path) -> None:
        """Make its files the destination; only `close` may follow. Errors: OSError."""
        if sys.platform == "win32" and destination.is_dir():
            destination.rmdir()  # renaming onto an empty folder is POSIX's
        self._files_folder.rename(destination)
        self._remove_superseded(destination)

    def close(self, *, is_kept: bool) -> None:
        """Unlock it; remove it unless it is kept, and can be found again."""
        if not (is_kept and self._is_resumable):
            shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._journal)
        if self._lock is not None:
            os.close(self._lock)

    def _read_journal(self) -> list[tuple[int, int, int]]:
        """Every line that is whole: the last may not be."""
        os.lseek(self._journal, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._journal), "rb") as stream:
            found = [re.fullmatch(rb"([0-9]{1,5}) ([0-9]{1,15}) ([0-9]{1,15})\n", line) for line in stream]
        return [(int(match[1]), int(match[2]), int(match[3])) for match in found if match]

    def _write_journal(self, files: Sequence[PartialFile]) -> None:
        lines = [f"{file.index} {start} {end - start}\n" for file in files for start, end in file.ranges]
        os.ftruncate(self._journal, 0)
        os.write(self._journal, "".join(lines).encode())

    def _clean(self, expected: AbstractSet[Path]) -> None:
        """Remove what is no file of the bundle, and empty folders with it."""
        for folder, folders, names in os.walk(self._files_folder, topdown=False):
            for path in (Path(folder, name) for name in (*folders, *names)):
                mode = path.lstat().st_mode
                if stat.S_ISDIR(mode):
                    with suppress(OSError):  # it is not empty
                        path.rmdir()
                elif path not in expected or not stat.S_ISREG(mode):
                    path.unlink()

    def _remove_superseded(self, destination: Path) -> None:
        """Remove what pulls of other bundles to the same destination left: nothing can go on with it any more."""
        name = re.compile(rf"\.{re.escape(destination.name)}\.[0-9a-f]{{{_DIGEST_CHARACTERS}}}\.partial")
        for path in destination.parent.iterdir():
            if path != self._path and name.fullmatch(path.name) and (lock := _claim(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _path_of(destination: Path, suffix: str) -> Path:
    return destination.parent / f".{destination.name}.{suffix}.partial"


if sys.platform == "win32":

    def _claim(path: Path) -> int | None:  # noqa: ARG001
        """Windows can lock no folder."""
        return None

else:

    def _claim(path: Path) -> int | None:
        """Make the folder if there is none, and lock it; None where that is not possible, or it is not ours."""
        for _ in range(_LOCK_TRIES):
            try:
                path.mkdir(exist_ok=True)
                lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:  # whoever held it has removed it just now
                continue
            except OSError:
                return None
            if _lock_own(lock) and _is_at(lock, path):
                return lock
            os.close(lock)
            if path.exists():
                return None
        return None

    def _lock_own(descriptor: int) -> bool:
        """Lock a folder that this user made; another user's may change under our hands."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another pull has it, or this file system has no locks
            return False
        return os.fstat(descriptor).st_uid == os.geteuid()

    def _is_at(descriptor: int, path: Path) -> bool:
        """Whether the folder was not removed before it was locked."""
        try:
            return os.path.samestat(os.fstat(descriptor), path.lstat())
        except FileNotFoundError:
            return False
