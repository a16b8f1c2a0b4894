"""Search over the versions of all models."""

from __future__ import annotations

from registrar.calls.call import Listing
from registrar.context import CallContext
from registrar.convert.results import version_from_proto
from registrar.types import ModelVersion
from registrar.v1 import model_version_service_pb2 as pb


def search(
    context: CallContext,
    filter: str = "",  # noqa: A002  (the contract's own word)
    *,
    query: str = "",
    order_by: str = "",
    tenant: str = "",
    page_size: int = 0,
) -> Listing[ModelVersion]:
    """Versions of all models for which a filter holds, the newest registration first; pages are fetched as consumed.

    `filter` is of the form `stage = production AND metrics.f1 > 0.9 AND tags.team = "risk*"`; `query` has words that must
    all occur in names, descriptions and tags; `order_by` is a field such as `metrics.f1 desc`. docs/search.md has the whole
    language. Errors: InvalidArgument with the reason FILTER_INVALID, whose message names the column.
    """
    request = pb.SearchModelVersionsRequest(
        tenant=tenant or context.tenant, filter=filter, query=query, order_by=order_by, page_size=page_size
    )
    context.ask_fresh(request, strong=False)
    return Listing(
        context.versions.SearchModelVersions, request, lambda page: map(version_from_proto, page.model_versions)
    )
