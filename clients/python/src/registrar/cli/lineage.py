"""`lineage`: what a version comes from, and what came from it."""

from __future__ import annotations

from typing import Annotated

import typer

from registrar.cli.documents import print_json
from registrar.cli.lineage_tree import lineage_tree
from registrar.cli.session import AsJson, Server, Tenant, open_registry
from registrar.lineage_types import LineageDirection


def lineage(
    *,
    ref: Annotated[
        str, typer.Argument(metavar="[REF]", help="NAME/3, NAME/1.4.0, NAME@^1.4, NAME@alias or NAME:production.")
    ] = "",
    run: Annotated[str, typer.Option("--run", metavar="ID", help="Begin at this MLflow run.")] = "",
    data: Annotated[
        str, typer.Option("--data", metavar="DIGEST|URI", help="Begin at this data: sha256:…, md5:…, or an address.")
    ] = "",
    upstream: Annotated[bool, typer.Option("--upstream", help="Only what it comes from.")] = False,
    downstream: Annotated[bool, typer.Option("--downstream", help="Only what came from it.")] = False,
    depth: Annotated[int, typer.Option("--depth", min=0, max=20, metavar="N", help="How far; 0: 5.")] = 0,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Show what a version, a run or data comes from, and what came from it.

    Parents, runs and data above; children, stages and aliases below. Only versions that you may read are shown.
    """
    if sum(map(bool, (ref, run, data))) != 1:
        raise typer.BadParameter("give one of REF, --run and --data")
    is_digest = ":" in data and "/" not in data
    with open_registry(server, tenant) as registry:
        found = registry.lineage(
            ref or None,
            run_id=run,
            dataset_digest=data if is_digest else "",
            dataset_uri="" if is_digest else data,
            direction=_direction(upstream, downstream),
            depth=depth,
        )
    print_json(found) if as_json else print(lineage_tree(found))


def _direction(upstream: bool, downstream: bool) -> LineageDirection:
    if upstream == downstream:
        return LineageDirection.BOTH
    return LineageDirection.UPSTREAM if upstream else LineageDirection.DOWNSTREAM
