"""`get`, `list`, `compare`, `update`, `delete`, `undelete`: what is there."""

from __future__ import annotations

from typing import Annotated

import typer

from registrar.amounts import moment
from registrar.cli.arguments import parse_pairs, parse_time
from registrar.cli.cards import comparison_card, models_table, version_card, versions_table
from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Ref, RequestId, Server, Tenant, open_registry
from registrar.values import Stage

At = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="As it was then: 2026-03-03T14:05, in UTC; or 7d ago.")
]


def get(*, ref: Ref, at: At = None, server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show a version.

    With --at the one that the reference named then, and who had decided so.
    """
    moment = None if at is None else parse_time(at)
    with open_registry(server, tenant) as registry:
        version = registry.get(ref, at=moment)
    if as_json:
        print_json(version)
    else:
        print(version_card(version))


def list_(
    *,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Model whose versions to list.")] = None,
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help="Models whose name begins so.")] = "",
    stage: Annotated[Stage | None, typer.Option("--stage", help="Versions in this stage.")] = None,
    show_deleted: Annotated[bool, typer.Option("--deleted", help="Deleted ones too.")] = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List the models, or a model's versions."""
    if name is None and stage is not None:
        raise typer.BadParameter("--stage needs the NAME of a model")
    with open_registry(server, tenant) as registry:
        if name is None:
            models = list(registry.models(prefix=prefix, show_deleted=show_deleted))
            print_json({"models": models}) if as_json else print(models_table(models))
        else:
            versions = list(registry.versions(name, stage=stage, show_deleted=show_deleted))
            print_json({"versions": versions}) if as_json else print(versions_table(versions))


def compare(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")],
    versions: Annotated[
        list[str], typer.Argument(metavar="V1 V2...", help="Numbers or references; the first is the yardstick.")
    ],
    at: At = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Compare versions of a model."""
    if len(versions) < 2:
        raise typer.BadParameter("name at least two versions")
    moment = None if at is None else parse_time(at)
    with open_registry(server, tenant) as registry:
        comparison = registry.compare(name, [_version(name, text) for text in versions], at=moment)
    if as_json:
        print_json(comparison)
    else:
        print(comparison_card(comparison))


def _version(name: str, text: str) -> int | str:
    """`3`, `@champion`, `:production` are of the model; all else is a whole reference."""
    if text.isdecimal():
        return int(text)
    return f"{name}{text}" if text[:1] in {"@", ":", "#"} else text


def update(
    *,
    ref: Ref,
    description: Annotated[str | None, typer.Option("--description", "-d", metavar="TEXT", help="A new one.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=TEXT", help="Set a tag; the others stay.")
    ] = None,
    remove_tag: Annotated[list[str] | None, typer.Option("--remove-tag", metavar="NAME", help="Remove a tag.")] = None,
    deprecate: Annotated[
        str | None, typer.Option("--deprecate", metavar="WHY", help="Say why not to use it; empty takes it back.")
    ] = None,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Change description, tags, deprecation.

    What a version consists of, where it comes from and what was measured never changes.
    """
    changed, removed = parse_pairs(tag or (), str), remove_tag or []
    with open_registry(server, tenant) as registry:
        # Tags are replaced as a whole: the etag guards those that are kept.
        before = registry.get(ref) if changed or removed else None
        kept = {key: value for key, value in (before.tags if before else {}).items() if key not in removed}
        version = registry.update(
            before or ref,
            description=description,
            tags=kept | changed if before else None,
            deprecation_note=deprecate,
            etag=before.etag if before else "",
            request_id=request_id,
        )
    print_json(version) if as_json else print(version_card(version))


def delete(
    *,
    ref: Ref,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Delete a version; it can be undeleted."""
    with open_registry(server, tenant) as registry:
        version = registry.delete(ref, request_id=request_id)
    if as_json:
        print_json(version)
    else:
        until = f" until {moment(version.purge_time)}" if version.purge_time else ""
        print(f"{version} is deleted; `registrar undelete {version}` brings it back{until}")


def undelete(
    *,
    ref: Ref,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Bring a deleted version back."""
    with open_registry(server, tenant) as registry:
        version = registry.undelete(ref, request_id=request_id)
    print_json(version) if as_json else print(f"{version} is back")
