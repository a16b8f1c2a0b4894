"""Statements about approvals.

Requests, decisions and ends are rows that are only added, each with the sequence of its event. `is_open` and `awaiting` of
a request, and the summary of the version, say again what follows from them now, so that lists and reads need not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, insert, select, update

from registrar_server.adapters.database.documents import dump, load
from registrar_server.adapters.database.governance.tables import approval_decisions, approval_ends, approvals
from registrar_server.adapters.database.many import chunks
from registrar_server.adapters.database.patterns import matches_any
from registrar_server.adapters.database.search.index import SqlSearchIndex
from registrar_server.adapters.database.tables import model_versions, models
from registrar_server.application.ports.database.approvals import ApprovalFilter
from registrar_server.domain.approvals import (
    Approval,
    ApprovalDecision,
    ApprovalStatus,
    ApprovalSummary,
    Binding,
    Decision,
    Requirements,
)
from registrar_server.domain.policies import ApproverRequirement, MoveTarget, PolicyRef
from registrar_server.domain.values import ModelKey, Stage

_WITHDRAWN, _USED = "withdrawn", "used"


class SqlApprovals:
    """The port `ApprovalRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, approval: Approval) -> None:
        """See the port."""
        self._connection.execute(
            insert(approvals).values(
                id=approval.id,
                sequence=approval.sequence,
                tenant=approval.model.tenant,
                model_uid=approval.model_uid,
                version_uid=approval.version_uid,
                number=approval.number,
                stage=approval.target.stage.value if approval.target.stage else "",
                alias=approval.target.alias,
                requested_by=approval.requested_by,
                requested_at=approval.request_time,
                comment=approval.comment,
                binding=_dump_binding(approval.binding),
                requirements=_dump_requirements(approval.requirements),
                is_open=True,
                awaiting="",
            )
        )
        for decision in approval.decisions:
            self._insert_decision(approval.id, decision)
        self._renew(approval)

    def add_decision(self, approval_id: str, decision: ApprovalDecision) -> None:
        """See the port."""
        self._insert_decision(approval_id, decision)
        self._renew_stored(approval_id)

    def withdraw(self, approval_id: str, sequence: int) -> None:
        """See the port."""
        self._end(approval_id, _WITHDRAWN, sequence)

    def use(self, approval_id: str, sequence: int) -> None:
        """See the port."""
        self._end(approval_id, _USED, sequence)

    def get(self, model_uid: str, approval_id: str) -> Approval | None:
        """See the port."""
        query = _select(None).where(approvals.c.id == approval_id, approvals.c.model_uid == model_uid)
        found = self._load(query, None)
        return found[0] if found else None

    def of_version(self, version_uid: str, until_sequence: int | None = None) -> Sequence[Approval]:
        """See the port."""
        query = _select(until_sequence).where(approvals.c.version_uid == version_uid)
        if until_sequence is not None:
            query = query.where(approvals.c.sequence <= until_sequence)
        return self._load(query.order_by(approvals.c.sequence), until_sequence)

    def list(self, wanted: ApprovalFilter, *, before: int, limit: int) -> Sequence[Approval]:
        """See the port."""
        query = _select(None).where(
            approvals.c.tenant == wanted.tenant,
            models.c.deleted_at.is_(None),
            matches_any(models.c.name, wanted.readable),
        )
        if before:
            query = query.where(approvals.c.sequence < before)
        if wanted.model:
            query = query.where(models.c.name == wanted.model)
        if wanted.number:
            query = query.where(approvals.c.number == wanted.number)
        if wanted.awaiting_role:
            query = query.where(approvals.c.awaiting.contains(f",{wanted.awaiting_role},", autoescape=True))
        if wanted.is_open_only or wanted.awaiting_role:
            query = query.where(approvals.c.is_open.is_(True))
        return self._load(query.order_by(approvals.c.sequence.desc()).limit(limit), None)

    def _insert_decision(self, approval_id: str, decision: ApprovalDecision) -> None:
        self._connection.execute(
            insert(approval_decisions).values(
                approval_id=approval_id,
                sequence=decision.sequence,
                approver=decision.approver,
                role=decision.role,
                decision=decision.decision.value,
                notes=decision.notes,
                method=decision.method,
                decided_at=decision.time,
            )
        )

    def _end(self, approval_id: str, kind: str, sequence: int) -> None:
        self._connection.execute(insert(approval_ends).values(approval_id=approval_id, kind=kind, sequence=sequence))
        self._renew_stored(approval_id)

    def _renew_stored(self, approval_id: str) -> None:
        (approval,) = self._load(_select(None).where(approvals.c.id == approval_id), None)
        self._renew(approval)

    def _renew(self, approval: Approval) -> None:
        """What follows from the rows, of the approval and of its version."""
        awaiting = "".join(f"{one.role}," for one in approval.awaiting)
        self._connection.execute(
            update(approvals)
            .where(approvals.c.id == approval.id)
            .values(is_open=approval.is_open, awaiting=awaiting and f",{awaiting}")
        )
        latest = select(func.max(approvals.c.sequence)).where(approvals.c.version_uid == approval.version_uid)
        if self._connection.execute(latest).scalar() == approval.sequence:
            self._connection.execute(
                update(model_versions)
                .where(model_versions.c.uid == approval.version_uid)
                .values(approval=dump_summary(approval.summary))
            )
            search = SqlSearchIndex(self._connection)
            search.set_approval(approval.model.tenant, approval.version_uid, approval.stored_status.value)

    def _load(self, query: Select[Any], until: int | None) -> Sequence[Approval]:
        rows = list(self._connection.execute(query))
        decisions: dict[str, list[ApprovalDecision]] = defaultdict(list)
        for ids in chunks([row.id for row in rows]):
            made = select(approval_decisions).where(approval_decisions.c.approval_id.in_(ids))
            if until is not None:
                made = made.where(approval_decisions.c.sequence <= until)
            for row in self._connection.execute(made.order_by(approval_decisions.c.sequence)):
                decisions[row.approval_id].append(_to_decision(row))
        return [_to_approval(row, decisions[row.id]) for row in rows]


def dump_summary(summary: ApprovalSummary) -> str:
    """A summary as text."""
    return dump(
        {
            "id": summary.id,
            "status": summary.status.value,
            "approved_by": list(summary.approved_by),
            "time": summary.time and summary.time.isoformat(),
            "notes": summary.notes,
        }
    )


def load_summary(text: str) -> ApprovalSummary:
    """The summary that `dump_summary` wrote."""
    document = load(text)
    time = document["time"]
    return ApprovalSummary(
        id=document["id"],
        status=ApprovalStatus(document["status"]),
        approved_by=tuple(document["approved_by"]),
        time=datetime.fromisoformat(time) if time else None,
        notes=document["notes"],
    )


def _select(until: int | None) -> Select[Any]:
    is_end = approval_ends.c.approval_id == approvals.c.id
    if until is not None:
        is_end = and_(is_end, approval_ends.c.sequence <= until)
    return (
        select(approvals, models.c.name, approval_ends.c.kind, approval_ends.c.sequence.label("end_sequence"))
        .join_from(approvals, models, approvals.c.model_uid == models.c.uid)
        .outerjoin(approval_ends, is_end)
    )


def _to_approval(row: Row[Any], decisions: Sequence[ApprovalDecision]) -> Approval:
    return Approval(
        id=row.id,
        model=ModelKey(row.tenant, row.name),
        model_uid=row.model_uid,
        version_uid=row.version_uid,
        number=row.number,
        target=MoveTarget(Stage(row.stage)) if row.stage else MoveTarget(alias=row.alias),
        requested_by=row.requested_by,
        request_time=row.requested_at,
        comment=row.comment,
        binding=_load_binding(load(row.binding)),
        requirements=_load_requirements(load(row.requirements)),
        sequence=row.sequence,
        decisions=tuple(decisions),
        withdrawn_sequence=row.end_sequence if row.kind == _WITHDRAWN else 0,
        used_sequence=row.end_sequence if row.kind == _USED else 0,
    )


def _to_decision(row: Row[Any]) -> ApprovalDecision:
    return ApprovalDecision(
        approver=row.approver,
        role=row.role,
        decision=Decision(row.decision),
        notes=row.notes,
        time=row.decided_at,
        method=row.method,
        sequence=row.sequence,
    )


def _dump_binding(binding: Binding) -> str:
    return dump(
        {
            "manifest_digest": binding.manifest_digest,
            "card_revision": binding.card_revision,
            "card_digest": binding.card_digest,
            "policies": [[ref.tenant, ref.name, ref.revision, ref.digest] for ref in binding.policies],
        }
    )


def _load_binding(document: Mapping[str, Any]) -> Binding:
    return Binding(
        manifest_digest=document["manifest_digest"],
        card_revision=document["card_revision"],
        card_digest=document["card_digest"],
        policies=tuple(PolicyRef(*ref) for ref in document["policies"]),
    )


def _dump_requirements(requirements: Requirements) -> str:
    valid_for = requirements.valid_for
    return dump(
        {
            "approvers": [[one.role, one.count] for one in requirements.approvers],
            "is_ordered": requirements.is_ordered,
            "is_four_eyes": requirements.is_four_eyes,
            "is_people_only": requirements.is_people_only,
            "valid_for_microseconds": None if valid_for is None else valid_for // timedelta(microseconds=1),
            "automatic": list(requirements.automatic),
        }
    )


def _load_requirements(document: Mapping[str, Any]) -> Requirements:
    valid_for = document["valid_for_microseconds"]
    return Requirements(
        approvers=tuple(ApproverRequirement(*one) for one in document["approvers"]),
        is_ordered=document["is_ordered"],
        is_four_eyes=document["is_four_eyes"],
        is_people_only=document["is_people_only"],
        valid_for=None if valid_for is None else timedelta(microseconds=valid_for),
        automatic=tuple(document["automatic"]),
    )
