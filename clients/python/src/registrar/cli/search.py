"""`search`: versions of all models."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from registrar.cli.cards import found_table
from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Server, Tenant, open_registry

_LARGEST_PAGE = 1_000


def search(
    *,
    filter_: Annotated[
        str, typer.Argument(metavar="[FILTER]", help="What must hold: 'stage = production AND tags.team = \"risk\"'.")
    ] = "",
    text: Annotated[str, typer.Option("--text", "-t", metavar="WORDS", help="Words that must all occur.")] = "",
    order_by: Annotated[
        str, typer.Option("--order-by", metavar="FIELD", help="Sort, as 'metrics.f1 desc'; else the newest first.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show at most so many.")] = 50,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Find versions of all models by a filter and by words.

    Fields are name, version, stage, alias, flavor, creator, create_time, update_time, semantic_version, git_commit,
    git_dirty, git_repository, ci_build, image, lock_digest, run_id, data_digest, data_uri, data_name, parent, risk_level,
    risk_assessment, tags.KEY, metrics.NAME, slices.DIMENSION.VALUE.METRIC, parameters.NAME.
    """
    with open_registry(server, tenant) as registry:
        found = registry.search(filter_, query=text, order_by=order_by, page_size=min(limit + 1, _LARGEST_PAGE))
        versions = list(islice(found, limit + 1))
    shown, is_more = versions[:limit], len(versions) > limit
    if as_json:
        print_json({"versions": shown, "is_more": is_more})
    else:
        print(found_table(shown, is_more=is_more))
