"""`approval …`, `approve` and `reject`: who must agree before a version moves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from registrar.approval_types import Approval, Decision
from registrar.cli.approval_cards import approval_card, approvals_table, standing_line
from registrar.cli.documents import print_json
from registrar.cli.gates import gates_card
from registrar.cli.session import AsJson, Comment, Ref, RequestId, Server, Tenant, open_registry
from registrar.errors import InvalidArgument, NotFound
from registrar.reference import ModelRef
from registrar.values import ApprovalStatus, Stage

if TYPE_CHECKING:
    from registrar.client import Registry

_ID = re.compile(r"[0-9a-f]{32}")
_LARGEST_PAGE = 1_000

ApprovalId = Annotated[str, typer.Argument(metavar="ID", help="Id of the approval; `approval list` shows it.")]
Which = Annotated[
    str, typer.Argument(metavar="REF|ID", help="Version whose approval is meant, such as NAME/3; or id of an approval.")
]
ToStage = Annotated[Stage | None, typer.Option("--to", help="Stage that it is to go to.")]
ToAlias = Annotated[str | None, typer.Option("--alias", metavar="ALIAS", help="Alias that is to point at it.")]
AsRole = Annotated[
    str | None,
    typer.Option("--as", metavar="ROLE", help="Approver role to decide for; not needed where one alone is awaited."),
]
OfModel = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model that it is about: found sooner.")]

approval = typer.Typer(help="Ask for approvals, and see where they stand.", no_args_is_help=True)


@approval.command("request")
def request_approval(
    *,
    ref: Ref,
    to: ToStage = None,
    alias: ToAlias = None,
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Ask those who must approve a move.

    What else the version does not meet yet is shown.
    """
    if (to is None) == (alias is None):
        raise typer.BadParameter("say where to: either --to or --alias")
    with open_registry(server, tenant) as registry:
        asked = registry.request_approval(ref, to=to, alias=alias, comment=comment, request_id=request_id)
    if as_json:
        print_json(asked)
        return
    print(standing_line(asked.approval))
    if asked.failed_gates:
        print("Besides, it does not meet yet")
        print(gates_card(asked.failed_gates))


@approval.command("list")
def list_approvals(
    *,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only of this model.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, metavar="N", help="Only of this version of it.")
    ] = None,
    awaiting: Annotated[
        str, typer.Option("--awaiting", metavar="ROLE", help="Only those that await a decision for this approver role.")
    ] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those that can still be decided or used.")] = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List approvals.

    The newest first.
    """
    if version is not None and name is None:
        raise typer.BadParameter("--version needs the NAME of the model")
    with open_registry(server, tenant) as registry:
        found = list(registry.approvals(name, version=version, awaiting_role=awaiting, open_only=open_only))
    print_json({"approvals": found}) if as_json else print(approvals_table(found))


@approval.command("show")
def show_approval(
    *,
    approval_id: ApprovalId,
    model: OfModel = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Show an approval: what it is for, who has decided, who must still."""
    with open_registry(server, tenant) as registry:
        found = _by_id(registry, approval_id) if model is None else registry.approval(model, approval_id)
    print_json(found) if as_json else print(approval_card(found))


@approval.command("withdraw")
def withdraw_approval(
    *,
    which: Which,
    to: ToStage = None,
    alias: ToAlias = None,
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Take a request for an approval back."""
    with open_registry(server, tenant) as registry:
        meant = _meant(registry, which, to, alias)
        withdrawn = registry.withdraw_approval(meant.model_ref, meant.id, comment=comment, request_id=request_id)
    print_json(withdrawn) if as_json else print(standing_line(withdrawn))


def approve(
    *,
    which: Which,
    role: AsRole = None,
    notes: Annotated[str, typer.Option("--notes", "-m", metavar="TEXT", help="Why; kept with the decision.")] = "",
    to: ToStage = None,
    alias: ToAlias = None,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Approve that a version moves."""
    with open_registry(server, tenant) as registry:
        meant = _meant(registry, which, to, alias)
        decided = _decide(registry, meant, Decision.APPROVE, role, notes, request_id)
    print_json(decided) if as_json else print(standing_line(decided))


def reject(
    *,
    which: Which,
    notes: Annotated[str, typer.Option("--notes", "-m", metavar="TEXT", help="Why; kept with the decision.")],
    role: AsRole = None,
    to: ToStage = None,
    alias: ToAlias = None,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Reject that a version moves.

    That ends the approval.
    """
    with open_registry(server, tenant) as registry:
        meant = _meant(registry, which, to, alias)
        decided = _decide(registry, meant, Decision.REJECT, role, notes, request_id)
    print_json(decided) if as_json else print(standing_line(decided))


def _decide(
    registry: Registry, meant: Approval, decision: Decision, role: str | None, notes: str, request_id: str | None
) -> Approval:
    named = role or _only_role(meant)
    return registry.decide_approval(
        meant.model_ref, meant.id, decision=decision, role=named, notes=notes, request_id=request_id
    )


def _only_role(meant: Approval) -> str:
    roles = sorted({one.role for one in meant.awaiting})
    if len(roles) == 1:
        return roles[0]
    awaited = f"{', '.join(roles)} are awaited" if roles else "nobody is awaited any more"
    raise typer.BadParameter(f"say for which role you decide, with --as: {awaited}")


def _meant(registry: Registry, which: str, to: Stage | None, alias: str | None) -> Approval:
    """The approval that somebody means: by its id, or the one of a version that is open, to the target if one is named."""
    if _ID.fullmatch(which):
        return _by_id(registry, which)
    version = registry.get(which)
    model = ModelRef(version.name, version.tenant)
    found = [
        approval
        for approval in registry.approvals(model, version=version.version, open_only=True)
        if to in {None, approval.stage} and alias in {None, approval.alias}
    ]
    counting = [one for one in found if one.status in {ApprovalStatus.PENDING, ApprovalStatus.APPROVED}]
    return _one_of(counting or found, str(version))


def _one_of(found: Sequence[Approval], version: str) -> Approval:
    if not found:
        raise NotFound(f"nobody has asked for an approval of {version} that is still open", reason="APPROVAL_NOT_FOUND")
    if len(found) > 1:
        listed = ", ".join(f"{one.id} ({one.target})" for one in found)
        raise InvalidArgument(
            f"{version} has several open approvals: {listed}; name one by its id, or say --to or --alias",
            reason="INVALID_FIELD",
        )
    return found[0]


def _by_id(registry: Registry, approval_id: str) -> Approval:
    """An approval whose model nobody has named: looked for among all that the caller may see."""
    for approval in registry.approvals(page_size=_LARGEST_PAGE):
        if approval.id == approval_id:
            return approval
    raise NotFound(
        f"there is no approval {approval_id}", reason="APPROVAL_NOT_FOUND", metadata={"approval_id": approval_id}
    )
