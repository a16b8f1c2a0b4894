"""A bundle: a set of files with a manifest, and the rules its paths keep."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from functools import cached_property

from registrar_server.domain.values import ModelKey


class FileType(IntEnum):
    """What a file is for; the numbers are those of the contract and stand in the canonical manifest."""

    MODEL = 1
    PREPROCESSOR = 2
    TOKENIZER = 3
    CONFIG = 4
    METRICS = 5
    REQUIREMENTS = 6
    THRESHOLDS = 7
    EVALUATION = 8
    CARD = 9
    OTHER = 10


# First match wins; on the lower-case file name. Documented at FileType in artifact.proto.
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


def guess_type(path: str) -> FileType:
    """The type that a path suggests, OTHER where no rule fits."""
    name = path.rsplit("/", 1)[-1].lower()
    return next((kind for pattern, kind in _TYPE_RULES if pattern.fullmatch(name)), FileType.OTHER)


def path_problem(path: str) -> str | None:
    """What is wrong with a path in a bundle, or None."""
    if not path:
        return "must not be empty"
    if "\\" in path or any(ord(c) < 32 or ord(c) == 127 for c in path):
        return "must not contain backslashes or control characters"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "must be relative, without empty parts, `.` or `..`"
    if unicodedata.normalize("NFC", path) != path:
        return "must be in Unicode normalization form C"
    return None


def collisions(paths: Sequence[str]) -> list[tuple[int, str]]:
    """Index and description of each path that equals another, or is a folder of one, without regard to case.

    Both would be one file on a case-insensitive disk, or a file where a folder must be.
    """
    seen: dict[str, int] = {}
    problems: list[tuple[int, str]] = []
    for index, path in enumerate(paths):
        folded = path.casefold()
        if folded in seen:
            problems.append((index, f"collides with files[{seen[folded]}].path"))
        else:
            seen[folded] = index
    for index, path in enumerate(paths):
        parts = path.casefold().split("/")
        for depth in range(1, len(parts)):
            other = seen.get("/".join(parts[:depth]))
            if other is not None:
                problems.append((index, f"lies below files[{other}].path, which is a file"))
                break
    return problems


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle. `sha256` is 64 lower-case hex digits."""

    path: str
    size_bytes: int
    sha256: str
    type: FileType


@dataclass(frozen=True)
class Manifest:
    """The files of a bundle, in the order in which they were declared."""

    files: tuple[BundleFile, ...]

    @cached_property
    def digest(self) -> str:
        """`sha256:` and the SHA-256 of the canonical bytes that artifact.proto defines."""
        digest = hashlib.sha256(b"registrar.manifest.v1\n")
        for file in sorted(self.files, key=lambda f: f.path.encode()):
            digest.update(f"{file.sha256} {file.size_bytes} {file.type.value} {file.path}\n".encode())
        return f"sha256:{digest.hexdigest()}"

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A committed bundle: verified, never changing."""

    uid: str
    model: ModelKey
    model_uid: str
    manifest_digest: str
    prefix: str
    """Key of its root in the store; a file is at `prefix/path`."""
    uri: str
    size_bytes: int
    file_count: int
    created_by: str
    create_time: datetime
    verify_time: datetime


def bundle_prefix(tenant: str, model_uid: str, manifest_digest: str) -> str:
    """Where a bundle lies below the artifact root. No colon: Hadoop paths and Windows refuse it."""
    return f"{tenant}/{model_uid}/{manifest_digest.replace(':', '-')}"
