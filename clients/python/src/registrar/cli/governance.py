"""`promote`, `rollback`, `history` and `alias …`: who stands where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import typer

from registrar.cli.arguments import parse_time
from registrar.cli.cards import moves_table
from registrar.cli.documents import print_json
from registrar.cli.gates import gates_card
from registrar.cli.session import (
    AsJson,
    Comment,
    Name,
    Ref,
    RequestId,
    Server,
    Since,
    Tenant,
    Until,
    Yes,
    confirm,
    open_registry,
)
from registrar.cli.timeline import timeline_table
from registrar.errors import Unimplemented
from registrar.policy_types import FailedGate
from registrar.types import Promotion
from registrar.values import Stage

ExpectedHolder = Annotated[
    int | None,
    typer.Option("--expected-holder", metavar="N", help="Only if version N holds it now; 0: only if nobody does."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")]
Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="Alias, such as champion.")]
Expected = Annotated[
    int | None, typer.Option("--expected", metavar="N", help="Only if it points at version N now; 0: at none.")
]
BreakGlass = Annotated[
    bool,
    typer.Option(
        "--break-glass", help="In an emergency: against the policies. Marked in the history and in the audit."
    ),
]

T = TypeVar("T")

alias = typer.Typer(help="Point names at versions.", no_args_is_help=True)


def promote(
    *,
    ref: Ref,
    to: Annotated[Stage, typer.Option("--to", help="Stage to move it to.")],
    comment: Comment = "",
    expected_holder: ExpectedHolder = None,
    dry_run: DryRun = False,
    break_glass: BreakGlass = False,
    yes: Yes = False,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Move a version to a stage.

    Who held staging or production before is archived in the same moment. Where policies demand what does not hold, all of
    it is named and nothing moves.
    """
    _confirm_break_glass(f"Move {ref} to {to}", comment, is_wanted=break_glass, is_sure=yes or dry_run)
    with open_registry(server, tenant) as registry:
        promotion = registry.promote(
            ref,
            to=to,
            comment=comment,
            expected_holder=expected_holder,
            validate_only=dry_run,
            break_glass=break_glass,
            request_id=request_id,
        )
    _print_promotion(promotion, to, dry_run, as_json)


def rollback(
    *,
    name: Name,
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", help="Version to go back to; else the last one.")
    ] = None,
    comment: Comment = "",
    expected_holder: ExpectedHolder = None,
    dry_run: DryRun = False,
    break_glass: BreakGlass = False,
    yes: Yes = False,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the version before.

    The version that was in production before comes back there, its files verified first; the present one is archived.
    """
    _confirm_break_glass(f"Roll {name} back", comment, is_wanted=break_glass, is_sure=yes or dry_run)
    with open_registry(server, tenant) as registry:
        promotion = registry.rollback(
            name,
            comment=comment,
            to_version=to,
            expected_holder=expected_holder,
            validate_only=dry_run,
            break_glass=break_glass,
            request_id=request_id,
        )
    _print_promotion(promotion, Stage.PRODUCTION, dry_run, as_json)


def _print_promotion(promotion: Promotion, to: Stage, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(promotion)
        return
    place = {Stage.NONE: "in no stage", Stage.ARCHIVED: "archived"}.get(to, f"in {to}")
    print(f"{promotion.version} would be {place}" if dry_run else f"{promotion.version} is {place}")
    for displaced in promotion.displaced:
        print(f"{displaced} would be archived" if dry_run else f"{displaced} is archived")
    _print_overridden(promotion.overridden_gates)


def _print_overridden(gates: Sequence[FailedGate]) -> None:
    if gates:
        print("Against what policies demand:")
        print(gates_card(gates))


def _confirm_break_glass(what: str, comment: str, *, is_wanted: bool, is_sure: bool) -> None:
    if not is_wanted:
        return
    if not comment:
        raise typer.BadParameter("--break-glass needs --comment: why it cannot wait for what the policies demand")
    confirm(f"{what} against the policies? It is marked in the history and in the audit.", is_sure=is_sure)


def history(
    *,
    name: Name,
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="Only of this version.")] = None,
    since: Since = None,
    until: Until = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List what happened to a model's versions.

    Moves from stage to stage, moves of aliases, approvals, comments: who, when, why; the newest first.
    """
    start_time, end_time = _period(since, until)
    with open_registry(server, tenant) as registry:
        transitions = list(registry.transitions(name, version=version, start_time=start_time, end_time=end_time))
        moves = list(registry.alias_history(name, start_time=start_time, end_time=end_time))
        comments = _known_of(lambda: registry.comments(name, version=version, start_time=start_time, end_time=end_time))
        approvals = _known_of(lambda: registry.approvals(name, version=version))
    moves = [move for move in moves if version in {None, move.from_version, move.to_version}]
    if as_json:
        print_json({"transitions": transitions, "moves": moves, "comments": comments, "approvals": approvals})
    else:
        print(timeline_table(transitions, moves, comments, approvals, start_time=start_time, end_time=end_time))


def _known_of(listed: Callable[[], Iterable[T]]) -> list[T]:
    """What a server lists; nothing where it is too old to know of such things."""
    try:
        return list(listed())
    except Unimplemented:
        return []


@alias.command("set")
def set_alias(
    *,
    name: Name,
    alias: Alias,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="Number of the version to point at.")],
    expected: Expected = None,
    comment: Comment = "",
    dry_run: DryRun = False,
    break_glass: BreakGlass = False,
    yes: Yes = False,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version, in one step.

    Where policies demand what does not hold, all of it is named and the alias stays.
    """
    _confirm_break_glass(f"Point {name}@{alias} at {version}", comment, is_wanted=break_glass, is_sure=yes or dry_run)
    with open_registry(server, tenant) as registry:
        pointing = registry.set_alias(
            name,
            alias,
            version,
            expected=expected,
            comment=comment,
            validate_only=dry_run,
            break_glass=break_glass,
            request_id=request_id,
        )
    if as_json:
        print_json(pointing)
        return
    print(f"{pointing.version.name}@{alias} {'would be' if dry_run else 'is'} {pointing.version}")
    _print_overridden(pointing.overridden_gates)


@alias.command("delete")
def delete_alias(
    *,
    name: Name,
    alias: Alias,
    expected: Expected = None,
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Remove an alias."""
    with open_registry(server, tenant) as registry:
        previous = registry.delete_alias(name, alias, expected=expected, comment=comment, request_id=request_id)
    if as_json:
        print_json({"alias": alias, "previous_version": previous})
    else:
        print(f"{name}@{alias} is gone; it was {name}/{previous}")


@alias.command("history")
def alias_history(
    *,
    name: Name,
    alias: Annotated[str, typer.Option("--alias", metavar="ALIAS", help="Only this alias.")] = "",
    since: Since = None,
    until: Until = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List who moved which alias.

    The newest first.
    """
    start_time, end_time = _period(since, until)
    with open_registry(server, tenant) as registry:
        moves = list(registry.alias_history(name, alias=alias, start_time=start_time, end_time=end_time))
    print_json({"moves": moves}) if as_json else print(moves_table(moves))


def _period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    return (None if since is None else parse_time(since), None if until is None else parse_time(until))
