"""How approvals look to a person."""

from __future__ import annotations

from collections.abc import Sequence

from registrar.amounts import moment
from registrar.approval_types import Approval, ApprovalDecision, Decision
from registrar.cli.policy_cards import approvers
from registrar.cli.text import ago, ahead, columns, plain, shortened
from registrar.values import ApprovalStatus

_WIDTH = 48


def approvals_table(approvals: Sequence[Approval]) -> str:
    """One line an approval."""
    if not approvals:
        return "No approvals."
    rows = [("ID", "VERSION", "TO", "STATUS", "AWAITING", "ASKED", "BY", "WHY")]
    rows += [
        (
            approval.id,
            f"{approval.model}/{approval.version}",
            approval.target,
            approval.status,
            approvers(approval.awaiting) or "-",
            ago(approval.request_time),
            approval.requested_by,
            shortened(approval.comment, _WIDTH),
        )
        for approval in approvals
    ]
    return columns(rows)


def approval_card(approval: Approval) -> str:
    """An approval, and a line for each decision."""
    asked = f"{ago(approval.request_time)}   {moment(approval.request_time)}   by {approval.requested_by}"
    facts = [
        ("id", approval.id),
        ("asked", asked),
        ("why", approval.comment),
        ("void", approval.void_reason),
        ("awaiting", approvers(approval.awaiting) if approval.status is ApprovalStatus.PENDING else ""),
        ("counts", _until(approval)),
        ("policies", ", ".join(f"{ref.name} revision {ref.revision}" for ref in approval.policies)),
        ("files", approval.manifest_digest),
        ("card", approval.card_digest),
    ]
    head = plain(f"{approval.model}/{approval.version} → {approval.target}  {approval.status}")
    blocks = [head, columns([(name, text) for name, text in facts if text], indent="  ")]
    if approval.decisions:
        blocks.append("Decisions\n" + columns([_decision(one) for one in approval.decisions], indent="  "))
    return "\n\n".join(blocks)


def standing_line(approval: Approval) -> str:
    """Where an approval stands, in one sentence, and what comes next."""
    version = f"{approval.model}/{approval.version}"
    where = f"{version} → {approval.target}"
    match approval.status:
        case ApprovalStatus.APPROVED:
            said = f"{where} is approved: `{_move(approval, version)}` moves it"
        case ApprovalStatus.PENDING:
            said = f"{where} awaits {approvers(approval.awaiting)}"
        case ApprovalStatus.VOID if approval.void_reason:
            said = f"{where} is void: {approval.void_reason}"
        case _:
            said = f"{where} is {approval.status}"
    return plain(f"{said}; id {approval.id}")


def _move(approval: Approval, version: str) -> str:
    if approval.stage is None:
        return f"registrar alias set {approval.model} {approval.alias} {approval.version}"
    return f"registrar promote {version} --to {approval.stage}"


def _until(approval: Approval) -> str:
    if approval.expire_time is None:
        return "until it is used" if approval.status is ApprovalStatus.APPROVED else ""
    return f"until {moment(approval.expire_time)}, {ahead(approval.expire_time)}"


def _decision(decision: ApprovalDecision) -> tuple[str, ...]:
    said = "approved" if decision.decision is Decision.APPROVE else "rejected"
    return (
        ago(decision.decide_time),
        f"{said} as {decision.approver_role}" if decision.approver_role else said,
        f"{decision.approver} ({decision.method})" if decision.method else decision.approver,
        decision.notes,
    )
