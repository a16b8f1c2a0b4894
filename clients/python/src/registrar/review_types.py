"""What people and checks say about versions. All of it is frozen; times are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CheckOutcome(StrEnum):
    """What a check found."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody said about a version. `reply_to` is the id of the comment that it answers; empty: none."""

    id: str
    version: int
    text: str
    author: str
    create_time: datetime
    reply_to: str
    event_sequence: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check of a version found: a scan of its files, a signature, a load test. The last one of a name counts.

    `manifest_digest` is that of the files that were checked.
    """

    version: int
    name: str
    outcome: CheckOutcome
    summary: str
    details_uri: str
    reported_by: str
    report_time: datetime
    manifest_digest: str
    event_sequence: int
