"""`schema …`: what versions have to say about themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from registrar.amounts import exactly
from registrar.cli.document_files import read_document
from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Comment, RequestId, Server, Tenant, open_registry
from registrar.cli.text import columns, plain
from registrar.metadata_types import MetadataField, MetadataSchema, MetadataType, fields_of_document

schema = typer.Typer(help="Say what metadata versions must have.", no_args_is_help=True)


@schema.command("show")
def show_schema(server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show what the tenant demands.

    With --json, what `schema apply` takes.
    """
    with open_registry(server, tenant) as registry:
        found = registry.metadata_schema()
    print_json(found) if as_json else print(_card(found))


@schema.command("apply")
def apply_schema(
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The schema, in JSON or (*.yaml) YAML; - for standard input.")
    ],
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Demand what a file says, in place of all that was demanded.

    Versions that are there stay as they are. An `etag` in the file guards against a change since it was read.
    """
    document = read_document(file)
    fields, etag = fields_of_document(document), document.get("etag")
    with open_registry(server, tenant) as registry:
        changed = registry.update_metadata_schema(
            fields, etag=etag if isinstance(etag, str) else "", comment=comment, request_id=request_id
        )
    print_json(changed) if as_json else print(_card(changed))


def _card(found: MetadataSchema) -> str:
    if not found.revision:
        return f"Tenant {found.tenant} demands nothing. `registrar schema apply FILE` says what versions must have."
    written = f", {exactly(found.update_time)}" if found.update_time else ""
    head = f"Metadata schema of tenant {found.tenant}, revision {found.revision} by {plain(found.updated_by)}{written}"
    rows = [(field.path, field.requirement.value, _wanted(field), field.description) for field in found.fields]
    return f"{head}\n\n{columns(rows, indent='  ')}" if rows else f"{head}\n\n  Nothing is demanded."


def _wanted(field: MetadataField) -> str:
    parts = [
        "" if field.type is MetadataType.ANY else field.type.value,
        f"one of {', '.join(field.allowed_values)}" if field.allowed_values else "",
        f"at least {field.min:g}" if field.min is not None else "",
        f"at most {field.max:g}" if field.max is not None else "",
        f"at most {field.max_characters} characters" if field.max_characters else "",
        f"of {', '.join(field.model_patterns)}" if field.model_patterns else "",
    ]
    return ", ".join(filter(None, parts))
