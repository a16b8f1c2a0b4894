"""`role …`: what callers may do, and who has which role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from registrar.cli.access_cards import binding_line, bindings_table, role_card, roles_table
from registrar.cli.arguments import parse_duration, parse_grants
from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Comment, RequestId, Server, Tenant, Yes, confirm, open_registry
from registrar.cli.tokens import Models

RoleName = Annotated[str, typer.Argument(metavar="ROLE", help="Name of the role.")]
Grants = Annotated[
    list[str] | None,
    typer.Option(
        "--grant", metavar="RIGHT[:LIMITS]", help="read, promote:staging,production, move_alias:champion,canary-* …"
    ),
]
Description = Annotated[str | None, typer.Option("--description", "-d", metavar="TEXT", help="What it is for.")]

role = typer.Typer(help="Say who may do what. `--tenant '*'` means all tenants.", no_args_is_help=True)


@role.command("create")
def create_role(
    *,
    name: RoleName,
    grant: Grants = None,
    description: Description = None,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a role."""
    grants = parse_grants(grant or ())
    if not grants:
        raise typer.BadParameter("a role allows something: give --grant")
    with open_registry(server, tenant) as registry:
        made = registry.create_role(name, grants, description=description or "", request_id=request_id)
    print_json(made) if as_json else print(role_card(made))


@role.command("list")
def list_roles(server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the roles that can be bound in a tenant."""
    with open_registry(server, tenant) as registry:
        found = list(registry.roles())
    print_json({"roles": found}) if as_json else print(roles_table(found))


@role.command("show")
def show_role(name: RoleName, server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show what a role allows."""
    with open_registry(server, tenant) as registry:
        found = registry.get_role(name)
    print_json(found) if as_json else print(role_card(found))


@role.command("update")
def update_role(
    *,
    name: RoleName,
    grant: Grants = None,
    description: Description = None,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Change a role, for everybody who has it.

    The grants that are named replace those that it has.
    """
    grants = parse_grants(grant) if grant else None
    if grants is None and description is None:
        raise typer.BadParameter("say what to change: --grant or --description")
    with open_registry(server, tenant) as registry:
        changed = registry.update_role(name, grants=grants, description=description, request_id=request_id)
    print_json(changed) if as_json else print(role_card(changed))


@role.command("delete")
def delete_role(
    *,
    name: RoleName,
    yes: Yes = False,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Remove a role that nobody has."""
    confirm(f"Delete the role {name}?", is_sure=yes)
    with open_registry(server, tenant) as registry:
        registry.delete_role(name, request_id=request_id)
    print_json({"role": name}) if as_json else print(f"the role {name} is gone")


@role.command("bind")
def bind_role(
    *,
    name: RoleName,
    member: Annotated[
        str, typer.Argument(metavar="MEMBER", help="user:NAME, group:NAME (of a claim of OIDC) or certificate:NAME.")
    ],
    models: Models = "*",
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="For how long: 8h, 30d; else for good.")
    ] = None,
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Give somebody a role."""
    expire_time = None if ttl is None else datetime.now(UTC) + timedelta(seconds=parse_duration(ttl))
    with open_registry(server, tenant) as registry:
        bound = registry.bind_role(
            name, member, models=models, expire_time=expire_time, comment=comment, request_id=request_id
        )
    print_json(bound) if as_json else print(binding_line(bound))


@role.command("unbind")
def unbind_role(
    *,
    binding_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the binding; `role bindings` shows it.")],
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Take a role from somebody."""
    with open_registry(server, tenant) as registry:
        registry.unbind_role(binding_id, comment=comment, request_id=request_id)
    print_json({"id": binding_id}) if as_json else print(f"the binding {binding_id} is gone")


@role.command("bindings")
def list_bindings(
    *,
    member: Annotated[str, typer.Option("--member", metavar="MEMBER", help="Only those of this member.")] = "",
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="Only those of this role.")] = "",
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List who has which role."""
    with open_registry(server, tenant) as registry:
        found = list(registry.role_bindings(member=member, role=role))
    print_json({"bindings": found}) if as_json else print(bindings_table(found))
