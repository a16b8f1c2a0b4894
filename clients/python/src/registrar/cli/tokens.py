"""`token …`: credentials of services."""

from __future__ import annotations

from typing import Annotated

import typer

from registrar.amounts import moment
from registrar.cli.access_cards import tokens_table
from registrar.cli.arguments import parse_duration
from registrar.cli.documents import print_json
from registrar.cli.exits import tell
from registrar.cli.session import AsJson, Comment, RequestId, Server, Tenant, open_registry

Models = Annotated[
    str, typer.Option("--models", metavar="PATTERN", help="A model, or the beginning of names with * behind.")
]

token = typer.Typer(help="Manage credentials of services.", no_args_is_help=True)


@token.command("create")
def create_token(
    *,
    name: Annotated[str, typer.Argument(metavar="SERVICE", help="Name of the service; it acts as service:NAME.")],
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="The role that it gets.")],
    models: Models = "*",
    ttl: Annotated[str, typer.Option("--ttl", metavar="TIME", help="How long it holds: 12h, 30d.")] = "90d",
    description: Annotated[str, typer.Option("--description", "-d", metavar="TEXT", help="What it is for.")] = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a token, and show it this once.

    The service sends it as REGISTRAR_TOKEN. The token alone is on stdout: `… create ci --role contributor > file`.
    """
    seconds = parse_duration(ttl)
    with open_registry(server, tenant) as registry:
        made = registry.create_token(
            name, role=role, models=models, ttl_seconds=seconds, description=description, request_id=request_id
        )
    if as_json:
        print_json(made)
        return
    tell(f"service:{made.name} has the role {made.role} until {moment(made.expire_time)}; id {made.id}")
    if made.secret:
        tell("The token is shown this once:")
        print(made.secret)
    else:
        tell("It was made by an earlier call with this request id, and shown then.")


@token.command("list")
def list_tokens(
    *,
    show_ended: Annotated[bool, typer.Option("--ended", help="Also those that ended or were revoked.")] = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List the tokens of a tenant."""
    with open_registry(server, tenant) as registry:
        found = list(registry.tokens(show_ended=show_ended))
    print_json({"tokens": found}) if as_json else print(tokens_table(found))


@token.command("revoke")
def revoke_token(
    *,
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the token; `token list` shows it.")],
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """End a token, within a second."""
    with open_registry(server, tenant) as registry:
        revoked = registry.revoke_token(token_id, comment=comment, request_id=request_id)
    print_json(revoked) if as_json else print(f"token {revoked.id} of service:{revoked.name} is revoked")


@token.command("revoke-sessions")
def revoke_sessions(
    *,
    member: Annotated[str, typer.Argument(metavar="user:NAME", help="Whose.")],
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Refuse all that a person has logged in with up to now."""
    with open_registry(server, tenant) as registry:
        not_before = registry.revoke_sessions(member, comment=comment, request_id=request_id)
    if as_json:
        print_json({"member": member, "not_before": not_before})
    else:
        print(f"{member} has to log in again: what was issued up to {moment(not_before)} is refused")
