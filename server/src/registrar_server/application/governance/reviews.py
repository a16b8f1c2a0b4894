"""Use cases about comments and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.authorization import require_one_right
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.clock import new_uid
from registrar_server.application.ports.database import Change, Database, Transaction
from registrar_server.application.resolution import find_model, find_version, lock_model, require_usable
from registrar_server.domain.access import Right
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lifecycle import ALWAYS, Period
from registrar_server.domain.reviews import CheckOutcome, CheckResult, Comment
from registrar_server.domain.values import ModelKey, VersionRef
from registrar_server.domain.versions import ModelVersion

_COMMENTING = (Right.REGISTER, Right.PROMOTE, Right.APPROVE)


@dataclass(frozen=True, slots=True)
class NewCheck:
    """What is reported of a check."""

    name: str
    outcome: CheckOutcome
    summary: str = ""
    details_uri: str = ""


class Reviews:
    """Writes down what people say about versions, and what checks found."""

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def comment(self, mutation: Mutation[Comment], ref: VersionRef, text: str, *, reply_to: str = "") -> bytes:
        """Say something about a version, whatever state it is in. COMMENT_NOT_FOUND for what is answered."""
        require_one_right(mutation.caller, _COMMENTING, ref.model)

        def action(transaction: Transaction, now: datetime) -> Comment:
            lock_model(transaction, ref.model)
            version = find_version(transaction, ref)
            if reply_to and transaction.reviews.get_comment(version.uid, reply_to) is None:
                raise RegistrarError(
                    Reason.COMMENT_NOT_FOUND,
                    f"there is no comment {reply_to} on version {version.number} of {ref.model.name}",
                    metadata={"comment_id": reply_to},
                )
            author = mutation.caller.actor
            comment = Comment(new_uid(), version.uid, version.number, text, author, now, reply_to)
            after = {"comment_id": comment.id, "reply_to": reply_to, "text": text}
            sequence = self._record(transaction, mutation, version, now, "version.commented", after)
            recorded = replace(comment, sequence=sequence)
            transaction.reviews.add_comment(version.model_uid, recorded)
            return recorded

        return self._mutations.run(mutation, action)

    def comments(
        self, key: ModelKey, *, number: int, before: int, limit: int, period: Period = ALWAYS
    ) -> Sequence[Comment]:
        """Comments on one version (0: on all) within a period, the newest first, sequences below `before` only."""
        with self._database.reading() as transaction:
            model = find_model(transaction, key)
            return transaction.reviews.comments(model.uid, number=number, before=before, limit=limit, period=period)

    def report_check(self, mutation: Mutation[CheckResult], ref: VersionRef, check: NewCheck) -> bytes:
        """Write down what a check of a version's files found."""

        def action(transaction: Transaction, now: datetime) -> CheckResult:
            lock_model(transaction, ref.model)
            version = find_version(transaction, ref)
            require_usable(version)
            result = CheckResult(
                version_uid=version.uid,
                number=version.number,
                name=check.name,
                outcome=check.outcome,
                summary=check.summary,
                details_uri=check.details_uri,
                reported_by=mutation.caller.actor,
                time=now,
                manifest_digest=version.artifact.manifest_digest,
            )
            after = {
                "name": result.name,
                "outcome": result.outcome.value,
                "summary": result.summary,
                "details_uri": result.details_uri,
                "manifest_digest": result.manifest_digest,
            }
            sequence = self._record(transaction, mutation, version, now, "check.reported", after)
            recorded = replace(result, sequence=sequence)
            transaction.reviews.add_check(version.model_uid, recorded)
            return recorded

        return self._mutations.run(mutation, action)

    def checks(self, ref: VersionRef, *, before: int, limit: int) -> Sequence[CheckResult]:
        """Results of a version, the newest first, sequences below `before` only."""
        with self._database.reading() as transaction:
            version = find_version(transaction, ref)
            return transaction.reviews.checks(version.uid, before=before, limit=limit)

    def _record(
        self,
        transaction: Transaction,
        mutation: Mutation[Comment] | Mutation[CheckResult],
        version: ModelVersion,
        now: datetime,
        action: str,
        after: Mapping[str, object],
    ) -> int:
        change = Change(
            action=action,
            caller=mutation.caller,
            time=now,
            model=version.model,
            model_uid=version.model_uid,
            version_uid=version.uid,
            number=version.number,
            after=after,
            request_id=mutation.request_id,
            is_mirrored=False,
        )
        return transaction.journal.record(change)
