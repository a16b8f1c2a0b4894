"""`tenant …`: parts of the registry that know nothing of each other."""

from __future__ import annotations

from typing import Annotated

import typer

from registrar.access_types import Quotas
from registrar.amounts import moment
from registrar.cli.access_cards import tenant_card, tenants_table
from registrar.cli.arguments import parse_quotas
from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Comment, RequestId, Server, Yes, confirm, open_registry

TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="Name of the tenant.")]
Quota = Annotated[
    list[str] | None,
    typer.Option(
        "--quota",
        metavar="NAME=AMOUNT",
        help="models, versions, bytes (500GB, 2TiB), concurrent_transfers; none: no limit.",
    ),
]

tenant = typer.Typer(help="Manage tenants.", no_args_is_help=True)


@tenant.command("create")
def create_tenant(
    *,
    name: TenantName,
    description: Annotated[str, typer.Option("--description", "-d", metavar="TEXT", help="Whose it is.")] = "",
    quota: Quota = None,
    request_id: RequestId = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant."""
    quotas = parse_quotas(quota or (), Quotas())
    with open_registry(server, None) as registry:
        made = registry.create_tenant(name, description=description, quotas=quotas, request_id=request_id)
    print_json(made) if as_json else print(tenant_card(made))


@tenant.command("list")
def list_tenants(
    *,
    show_deleted: Annotated[bool, typer.Option("--deleted", help="Deleted ones too.")] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """List the tenants."""
    with open_registry(server, None) as registry:
        found = list(registry.tenants(show_deleted=show_deleted))
    print_json({"tenants": found}) if as_json else print(tenants_table(found))


@tenant.command("show")
def show_tenant(
    name: Annotated[str, typer.Argument(metavar="[TENANT]", help="Name of the tenant; else yours.")] = "",
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Show a tenant, and what it holds."""
    with open_registry(server, None) as registry:
        found = registry.get_tenant(name)
    print_json(found) if as_json else print(tenant_card(found))


@tenant.command("update")
def update_tenant(
    *,
    name: TenantName,
    description: Annotated[str | None, typer.Option("--description", "-d", metavar="TEXT", help="Whose it is.")] = None,
    quota: Quota = None,
    request_id: RequestId = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Change a tenant's description and quotas.

    Quotas that are not named stay as they are.
    """
    if description is None and not quota:
        raise typer.BadParameter("say what to change: --quota or --description")
    parse_quotas(quota or (), Quotas())
    with open_registry(server, None) as registry:
        # Quotas are replaced as a whole: the etag guards those that stay.
        before = registry.get_tenant(name) if quota else None
        changed = registry.update_tenant(
            name,
            description=description,
            quotas=parse_quotas(quota or (), before.quotas) if before else None,
            etag=before.etag if before else "",
            request_id=request_id,
        )
    print_json(changed) if as_json else print(tenant_card(changed))


@tenant.command("suspend")
def suspend_tenant(
    *,
    name: TenantName,
    yes: Yes = False,
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Have a tenant refuse everything, reads too."""
    confirm(f"Suspend the tenant {name}? Nobody can read from it then.", is_sure=yes)
    with open_registry(server, None) as registry:
        changed = registry.suspend_tenant(name, comment=comment, request_id=request_id)
    print_json(changed) if as_json else print(f"tenant {changed.name} is {changed.state}")


@tenant.command("resume")
def resume_tenant(
    *,
    name: TenantName,
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """End a suspension."""
    with open_registry(server, None) as registry:
        changed = registry.resume_tenant(name, comment=comment, request_id=request_id)
    print_json(changed) if as_json else print(f"tenant {changed.name} is {changed.state}")


@tenant.command("delete")
def delete_tenant(
    *,
    name: TenantName,
    force: Annotated[bool, typer.Option("--force", help="Also while versions are in production.")] = False,
    yes: Yes = False,
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Delete a tenant with all that it holds; it can be undeleted."""
    confirm(f"Delete the tenant {name} and all its models?", is_sure=yes)
    with open_registry(server, None) as registry:
        deleted = registry.delete_tenant(name, comment=comment, force=force, request_id=request_id)
    if as_json:
        print_json(deleted)
    else:
        until = f" until {moment(deleted.purge_time)}" if deleted.purge_time else ""
        print(f"tenant {deleted.name} is deleted; `registrar tenant undelete {deleted.name}` brings it back{until}")


@tenant.command("undelete")
def undelete_tenant(
    *,
    name: TenantName,
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Bring a deleted tenant back."""
    with open_registry(server, None) as registry:
        changed = registry.undelete_tenant(name, comment=comment, request_id=request_id)
    print_json(changed) if as_json else print(f"tenant {changed.name} is {changed.state}")
