"""What people say about a version, and what checks of it found. Both are only added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody says about a version. `number` 0: the version has none yet."""

    id: str
    version_uid: str
    number: int
    text: str
    author: str
    time: datetime
    reply_to: str = ""
    """Id of the comment that it answers; empty: none."""
    sequence: int = 0


class CheckOutcome(StrEnum):
    """What a check found."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check of a version's files found."""

    version_uid: str
    number: int
    name: str
    outcome: CheckOutcome
    summary: str
    details_uri: str
    reported_by: str
    time: datetime
    manifest_digest: str
    """Of the files that were checked."""
    sequence: int = 0
