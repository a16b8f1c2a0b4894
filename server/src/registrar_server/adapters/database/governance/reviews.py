"""Statements about comments and check results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from registrar_server.adapters.database.governance.tables import check_results, comments
from registrar_server.adapters.database.periods import is_within
from registrar_server.adapters.database.tables import model_versions
from registrar_server.domain.lifecycle import ALWAYS, Period
from registrar_server.domain.reviews import CheckOutcome, CheckResult, Comment

_COMMENT = select(comments, model_versions.c.number).join_from(
    comments, model_versions, comments.c.version_uid == model_versions.c.uid
)
_CHECK = select(check_results, model_versions.c.number).join_from(
    check_results, model_versions, check_results.c.version_uid == model_versions.c.uid
)


class SqlReviews:
    """The port `ReviewRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_comment(self, model_uid: str, comment: Comment) -> None:
        """See the port."""
        self._connection.execute(
            insert(comments).values(
                sequence=comment.sequence,
                id=comment.id,
                model_uid=model_uid,
                version_uid=comment.version_uid,
                text=comment.text,
                author=comment.author,
                reply_to=comment.reply_to,
                created_at=comment.time,
            )
        )

    def get_comment(self, version_uid: str, comment_id: str) -> Comment | None:
        """See the port."""
        query = _COMMENT.where(comments.c.id == comment_id, comments.c.version_uid == version_uid)
        row = self._connection.execute(query).first()
        return None if row is None else _to_comment(row)

    def comments(
        self, model_uid: str, *, number: int, before: int, limit: int, period: Period = ALWAYS
    ) -> Sequence[Comment]:
        """See the port."""
        query = _COMMENT.where(comments.c.model_uid == model_uid, *is_within(comments.c.created_at, period))
        if number:
            query = query.where(model_versions.c.number == number)
        if before:
            query = query.where(comments.c.sequence < before)
        rows = self._connection.execute(query.order_by(comments.c.sequence.desc()).limit(limit))
        return [_to_comment(row) for row in rows]

    def add_check(self, model_uid: str, result: CheckResult) -> None:
        """See the port."""
        self._connection.execute(
            insert(check_results).values(
                sequence=result.sequence,
                model_uid=model_uid,
                version_uid=result.version_uid,
                name=result.name,
                outcome=result.outcome.value,
                summary=result.summary,
                details_uri=result.details_uri,
                reported_by=result.reported_by,
                reported_at=result.time,
                manifest_digest=result.manifest_digest,
            )
        )

    def checks(self, version_uid: str, *, before: int, limit: int) -> Sequence[CheckResult]:
        """See the port."""
        query = _CHECK.where(check_results.c.version_uid == version_uid)
        if before:
            query = query.where(check_results.c.sequence < before)
        rows = self._connection.execute(query.order_by(check_results.c.sequence.desc()).limit(limit))
        return [_to_check(row) for row in rows]

    def latest_checks(self, version_uid: str, until_sequence: int | None = None) -> Mapping[str, CheckResult]:
        """See the port."""
        latest = (
            select(func.max(check_results.c.sequence))
            .join_from(check_results, model_versions, check_results.c.version_uid == model_versions.c.uid)
            .where(
                check_results.c.version_uid == version_uid,
                check_results.c.manifest_digest == model_versions.c.manifest_digest,
            )
            .group_by(check_results.c.name)
        )
        if until_sequence is not None:
            latest = latest.where(check_results.c.sequence <= until_sequence)
        rows = self._connection.execute(_CHECK.where(check_results.c.sequence.in_(latest)))
        return {row.name: _to_check(row) for row in rows}


def _to_comment(row: Row[Any]) -> Comment:
    return Comment(
        id=row.id,
        version_uid=row.version_uid,
        number=row.number or 0,
        text=row.text,
        author=row.author,
        time=row.created_at,
        reply_to=row.reply_to,
        sequence=row.sequence,
    )


def _to_check(row: Row[Any]) -> CheckResult:
    return CheckResult(
        version_uid=row.version_uid,
        number=row.number,
        name=row.name,
        outcome=CheckOutcome(row.outcome),
        summary=row.summary,
        details_uri=row.details_uri,
        reported_by=row.reported_by,
        time=row.reported_at,
        manifest_digest=row.manifest_digest,
        sequence=row.sequence,
    )
