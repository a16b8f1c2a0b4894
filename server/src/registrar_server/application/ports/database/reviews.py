"""Records of what people say about versions, and of what checks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from registrar_server.domain.lifecycle import ALWAYS, Period
from registrar_server.domain.reviews import CheckResult, Comment


class ReviewRecords(Protocol):
    """Comments and check results. Both are only added."""

    def add_comment(self, model_uid: str, comment: Comment) -> None:
        """Add a comment; its sequence is that of its event."""

    def get_comment(self, version_uid: str, comment_id: str) -> Comment | None:
        """The comment on that version."""

    def comments(
        self, model_uid: str, *, number: int, before: int, limit: int, period: Period = ALWAYS
    ) -> Sequence[Comment]:
        """Comments on one version (0: on all) within a period, the newest first, sequences below `before` only (0: all)."""

    def add_check(self, model_uid: str, result: CheckResult) -> None:
        """Add a result; its sequence is that of its event."""

    def checks(self, version_uid: str, *, before: int, limit: int) -> Sequence[CheckResult]:
        """Results of a version, the newest first, sequences below `before` only (0: all)."""

    def latest_checks(self, version_uid: str, until_sequence: int | None = None) -> Mapping[str, CheckResult]:
        """The last result of each name, of the files that the version has; until that event (None: until now)."""
