"""`policy …`: what must hold before a version moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from registrar.cli.document_files import is_document, read_document
from registrar.cli.documents import print_json
from registrar.cli.policy_cards import (
    change_lines,
    changes,
    policies_table,
    policy_card,
    revisions_card,
    trials_card,
)
from registrar.cli.session import TARGET, AsJson, RequestId, Server, Tenant, Yes, confirm, open_registry
from registrar.cli.text import plain
from registrar.errors import NotFound
from registrar.policy_types import Policy

if TYPE_CHECKING:
    from registrar.client import Registry

PolicyName = Annotated[str, typer.Argument(metavar="POLICY", help="Name of the policy.")]
OfModel = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only those about moves of this model.")]

policy = typer.Typer(
    help="Say what must hold before a version moves. `--tenant '*'` means all tenants.", no_args_is_help=True
)


@policy.command("list")
def list_policies(
    *,
    model: OfModel = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Deleted ones too.")] = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List the policies that hold in a tenant."""
    with open_registry(server, tenant) as registry:
        found = list(registry.policies(model=model, show_deleted=deleted))
    print_json({"policies": found}) if as_json else print(policies_table(found))


@policy.command("show")
def show_policy(
    *,
    name: PolicyName,
    revision: Annotated[
        int | None, typer.Option("--revision", min=1, metavar="N", help="As this revision was; else as it is.")
    ] = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Show what a policy demands, of which moves.

    With --json, what `policy apply` takes.
    """
    with open_registry(server, tenant) as registry:
        found = registry.policy(name, revision=revision)
    print_json(found) if as_json else print(policy_card(found))


@policy.command("history")
def policy_history(*, name: PolicyName, server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List what each revision of a policy changed, and who wrote it.

    The newest first.
    """
    with open_registry(server, tenant) as registry:
        found = list(registry.policy_revisions(name))
    print_json({"revisions": found}) if as_json else print(revisions_card(found))


@policy.command("apply")
def apply_policy(
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The policy, in JSON or (*.yaml) YAML; - for standard input.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")] = False,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a policy, or change it to what a file says.

    It holds at once. What changes is shown; approvals that were given under another revision no longer count.
    """
    wanted = Policy.from_document(read_document(file))
    with open_registry(server, tenant) as registry:
        # A tenant on the command line comes before the file's, so that a policy can be taken to another.
        where = "" if tenant or TARGET.get().tenant else wanted.tenant
        before = _existing(registry, wanted.name, where)
        if before is None:
            after = registry.create_policy(
                wanted.name,
                scope=wanted.scope,
                rules=wanted.rules,
                description=wanted.description,
                tenant=where,
                validate_only=dry_run,
                request_id=request_id,
            )
        else:
            after = registry.update_policy(
                wanted.name,
                scope=wanted.scope,
                rules=wanted.rules,
                description=wanted.description,
                etag=wanted.etag or before.etag,
                tenant=where,
                validate_only=dry_run,
                request_id=request_id,
            )
    if as_json:
        print_json({"policy": after, "before": before})
    else:
        print("\n".join(_applied(before, after, dry_run)))


def _existing(registry: Registry, name: str, tenant: str) -> Policy | None:
    try:
        return registry.policy(name, tenant=tenant)
    except NotFound as error:
        if error.reason == "POLICY_NOT_FOUND":
            return None
        raise


def _applied(before: Policy | None, after: Policy, dry_run: bool) -> list[str]:
    name = plain(after.name)
    if before is None:
        return [f"{name} would be made" if dry_run else f"{name} is made: revision {after.revision}"]
    gone, come = changes(before, after)
    if not gone and not come and after.revision == before.revision:
        return [f"{name} is as the file says: revision {after.revision}"]
    head = f"{name} would change" if dry_run else f"{name} is changed: revision {after.revision}"
    return [head, *change_lines(gone, come)]


@policy.command("delete")
def delete_policy(
    *,
    name: PolicyName,
    yes: Yes = False,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """End a policy.

    What it demanded is no longer demanded; its revisions stay readable, and its name is not given again.
    """
    confirm(f"Delete the policy {name}? What it demands will not be demanded any more.", is_sure=yes)
    with open_registry(server, tenant) as registry:
        deleted = registry.delete_policy(name, request_id=request_id)
    print_json(deleted) if as_json else print(f"the policy {plain(deleted.name)} is gone")


@policy.command("test")
def try_policy(
    *,
    subject: Annotated[
        str,
        typer.Argument(metavar="POLICY|FILE", help="A policy that holds, or a file with one that is not there yet."),
    ],
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Only with versions of this model.")
    ] = None,
    version: Annotated[
        list[int] | None, typer.Option("--version", min=1, metavar="N", help="With this version of it; repeatable.")
    ] = None,
    newest: Annotated[
        int, typer.Option("--newest", min=1, max=100, metavar="N", help="With so many versions of each model.")
    ] = 10,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Try a policy on the versions that are there: which would pass, and why the others would not.

    Changes nothing. Approvals are not asked for.
    """
    if version and model is None:
        raise typer.BadParameter("--version needs --model")
    tried = Policy.from_document(read_document(subject)) if is_document(subject) else subject
    with open_registry(server, tenant) as registry:
        result = registry.test_policy(tried, model=model, versions=version or (), newest=0 if version else newest)
    print_json(result) if as_json else print(trials_card(result))
