"""The bundle that a local file or folder makes: its files, their digests, and the digest of the whole.

The rules are those of `registrar/v1/artifact.proto`. Nothing is skipped in silence: what cannot be part of a bundle is
refused, every such file at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from registrar.errors import InvalidArgument, Violation
from registrar.values import BundleFile, FileType

PATH_BYTES = 512
HASH_THREADS = min(8, os.cpu_count() or 1)
_BLOCK_BYTES = 1 << 20

# First match wins; on the lower-case file name.
_TYPE_RULES: tuple[tuple[re.Pattern[str], FileType], ...] = (
    (re.compile(r"(readme\.md|model_card.*)"), FileType.CARD),
    (re.compile(r"(requirements.*\.txt|conda\.ya?ml|python_env\.yaml)"), FileType.REQUIREMENTS),
    (re.compile(r"(preprocessor|scaler|encoder).*"), FileType.PREPROCESSOR),
    (re.compile(r"(tokenizer|vocab).*"), FileType.TOKENIZER),
    (re.compile(r"metrics.*"), FileType.METRICS),
    (re.compile(r"threshold.*"), FileType.THRESHOLDS),
    (re.compile(r"(evaluation.*|confusion.*|.*report.*)"), FileType.EVALUATION),
    (re.compile(r"(mlmodel|model\.pkl|.*\.(pt|pth|onnx|safetensors|joblib|skops|h5|keras|ubj))"), FileType.MODEL),
    (re.compile(r"(config.*|feature.*|.*\.(json|ya?ml))"), FileType.CONFIG),
)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this disk and what it is in the bundle. Its mark, see `file_mark`, was taken before it was hashed."""

    source: Path
    entry: BundleFile
    mark: tuple[int, int]


@dataclass(frozen=True, slots=True)
class LocalBundle:
    """What will be pushed, in the order of the paths. `empty_folders` cannot be part of a bundle: say so to people."""

    files: tuple[LocalFile, ...]
    empty_folders: tuple[str, ...]

    @property
    def entries(self) -> tuple[BundleFile, ...]:
        """The files as a manifest lists them."""
        return tuple(file.entry for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes."""
        return sum(file.entry.size_bytes for file in self.files)


def guess_type(path: str) -> FileType:
    """The type that a path suggests, OTHER where no rule fits."""
    name = path.rsplit("/", 1)[-1].lower()
    return next((kind for pattern, kind in _TYPE_RULES if pattern.fullmatch(name)), FileType.OTHER)


def manifest_digest(files: Iterable[BundleFile]) -> str:
    """`sha256:` and the SHA-256 of the manifest's canonical bytes."""
    digest = hashlib.sha256(b"registrar.manifest.v1\n")
    for file in sorted(files, key=lambda f: f.path.encode()):
        digest.update(f"{file.sha256} {file.size_bytes} {file.type.value} {file.path}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def path_problem(path: str) -> str | None:
    """What is wrong with a path in a bundle, or None."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    rules = (
        (not path, "is empty"),
        (size > PATH_BYTES, f"is longer than {PATH_BYTES} bytes"),
        (
            "\\" in path or any(ord(c) < 32 or ord(c) == 127 for c in path),
            "contains a backslash or a control character",
        ),
        (
            any(part in {"", ".", ".."} for part in path.split("/")),
            "is not relative, or has an empty part, `.` or `..`",
        ),
        (unicodedata.normalize("NFC", path) != path, "is not in Unicode normalization form C"),
    )
    return next((problem for is_broken, problem in rules if is_broken), None)


def path_problems(paths: Sequence[str]) -> list[Violation]:
    """Everything that is wrong with the paths of one bundle, alone and together (without regard to case)."""
    problems = [Violation(path, problem) for path in paths if (problem := path_problem(path))]
    seen: dict[str, str] = {}
    for path in paths:
        folded = path.casefold()
        if folded in seen:
            problems.append(Violation(path, f"collides with {seen[folded]!r}: case does not count"))
        else:
            seen[folded] = path
    for path in paths:
        parts = path.casefold().split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        if (folder := next((folder for folder in folders if folder in seen), None)) is not None:
            problems.append(Violation(path, f"lies below {seen[folder]!r}, which is a file"))
    return problems


def read_bundle(path: Path, *, on_total: Callable[[int], None], on_bytes: Callable[[int], None]) -> LocalBundle:
    """List and hash a file, or a folder with all that is below it.

    A link to something inside the folder is followed; one that leads out, and anything that is neither file nor folder,
    is refused. `on_total` hears the sum of the sizes, `on_bytes` (from several threads) what was hashed since.
    Errors: InvalidArgument, naming every file that cannot be in a bundle; OSError where reading fails.
    """
    found = _Scan(path)
    violations = found.violations + path_problems(list(found.sources))
    if not found.sources and not violations:
        violations = [Violation(str(path), "holds no file")]
    if violations:
        raise _refused(path, violations)
    paths = sorted(found.sources, key=str.encode)
    on_total(sum(found.sources[p].stat().st_size for p in paths))
    hashed = _hash_all([found.sources[p] for p in paths], on_bytes)
    files = tuple(
        LocalFile(found.sources[p], BundleFile(p, size, digest, guess_type(p)), mark)
        for p, (size, digest, mark) in zip(paths, hashed, strict=True)
    )
    return LocalBundle(files, tuple(found.empty_folders))


def file_mark(status: os.stat_result) -> tuple[int, int]:
    """Size and time of the last change: what differs when a file is not the same any more."""
    return status.st_size, status.st_mtime_ns


def _refused(path: Path, violations: Sequence[Violation]) -> InvalidArgument:
    count = f"{len(violations)} problems" if len(violations) > 1 else "a problem"
    listed = "; ".join(f"{v.field}: {v.description}" for v in violations[:3])
    more = "; …" if len(violations) > 3 else ""
    return InvalidArgument(
        f"{path} cannot be a bundle, {count}: {listed}{more}", reason="INVALID_FIELD", violations=violations
    )


class _Scan:
    """The files below a path by their paths in the bundle, and what stands in the way."""

    def __init__(self, path: Path) -> None:
        self.sources: dict[str, Path] = {}
        self.violations: list[Violation] = []
        self.empty_folders: list[str] = []
        try:
            self._root = path.resolve(strict=True)
        except OSError as exc:
            raise InvalidArgument(f"cannot read {path}: {exc.strerror or exc}", reason="PATH_UNREADABLE") from exc
        if self._root.is_dir():
            self._folder(self._root, "", (self._root,))
        else:
            # The name that the caller wrote, even when it is a link.
            self._file(self._root, unicodedata.normalize("NFC", path.absolute().name))

    def _folder(self, folder: Path, prefix: str, above: tuple[Path, ...]) -> None:
        try:
            entries = sorted(folder.iterdir())
        except OSError as exc:
            self.violations.append(Violation(prefix or ".", f"cannot be read: {exc.strerror}"))
            return
        if not entries:
            self.empty_folders.append(prefix or ".")
        for entry in entries:
            self._entry(entry, f"{prefix}/{entry.name}" if prefix else entry.name, above)

    def _entry(self, entry: Path, name: str, above: tuple[Path, ...]) -> None:
        name = unicodedata.normalize("NFC", name)
        target = entry
        if entry.is_symlink():
            try:
                target = entry.resolve(strict=True)
            except (OSError, RuntimeError):
                self.violations.append(Violation(name, "is a link that leads nowhere"))
                return
            if not target.is_relative_to(self._root):
                self.violations.append(Violation(name, "is a link out of the folder: copy the files, as `cp -rL` does"))
                return
        if not target.is_dir():
            self._file(target, name)
        elif target in above:
            self.violations.append(Violation(name, "is a link to a folder that it lies in"))
        else:
            self._folder(target, name, (*above, target))

    def _file(self, source: Path, name: str) -> None:
        if not stat.S_ISREG(source.stat().st_mode):
            self.violations.append(Violation(name, "is neither a file nor a folder"))
        elif name in self.sources:
            self.violations.append(Violation(name, "is there twice, in two Unicode forms"))
        else:
            self.sources[name] = source


def _hash_all(sources: Sequence[Path], on_bytes: Callable[[int], None]) -> list[tuple[int, str, tuple[int, int]]]:
    """Size, sha256 and mark of each. hashlib lets other threads run, so several files are hashed at once."""
    from concurrent.futures import ThreadPoolExecutor

    stop = threading.Event()

    def count(size: int) -> None:
        if stop.is_set():
            raise InterruptedError("another file could not be read, or the caller gave up")
        on_bytes(size)

    def hash_one(source: Path) -> tuple[int, str, tuple[int, int]]:
        mark = file_mark(source.stat())
        return *hash_file(source, count), mark

    executor = ThreadPoolExecutor(HASH_THREADS, thread_name_prefix="registrar-hash")
    try:
        return list(executor.map(hash_one, sources))
    finally:
        # Without it, Ctrl-C would wait for the largest file to be read to its end.
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)


def hash_file(source: Path, on_bytes: Callable[[int], None]) -> tuple[int, str]:
    """Size and sha256 (64 hex digits) of a file."""
    digest = hashlib.sha256()
    size = 0
    for block in _blocks(source):
        digest.update(block)
        size += len(block)
        on_bytes(len(block))
    return size, digest.hexdigest()


def _blocks(source: Path) -> Iterator[memoryview]:
    buffer = bytearray(_BLOCK_BYTES)
    view = memoryview(buffer)
    with source.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield view[:count]
