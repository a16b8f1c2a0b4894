"""SearchModelVersions: from a request to one page."""

from __future__ import annotations

from dataclasses import replace

from registrar.v1 import model_version_service_pb2 as pb
from registrar_server.application.search.searching import Searching, SearchRequest, position
from registrar_server.domain.access import Caller, Right
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.search import Order, Position
from registrar_server.domain.validation import checking
from registrar_server.transport.convert.references import tenant_from_proto
from registrar_server.transport.convert.versions import version_to_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size


def search_page(
    searching: Searching, request: pb.SearchModelVersionsRequest, caller: Caller
) -> pb.SearchModelVersionsResponse:
    """See the contract. Nothing is cached: every answer is as fresh as the database."""
    with checking() as check:
        tenant = tenant_from_proto(check, "tenant", request.tenant, caller)
    readable = caller.access.models(Right.READ, tenant)
    search = searching.read(SearchRequest(tenant, readable, request.filter, request.query, request.order_by))
    size = page_size(request.page_size)
    found = searching.find(replace(search, after=_after(request, search.order), limit=size + 1))
    response = pb.SearchModelVersionsResponse(model_versions=(version_to_proto(one.version) for one in found[:size]))
    if len(found) > size:
        last = found[size - 1].position
        response.next_page_token = encode_token(request, [last.sequence, str(last.value)])
    return response


def _after(request: pb.SearchModelVersionsRequest, order: Order) -> Position | None:
    key = decode_token(request, request.page_token, int, str)
    if key is None:
        return None
    sequence, value = key
    try:
        return position(order, int(sequence), str(value))
    except ValueError:
        raise RegistrarError(Reason.PAGE_TOKEN_INVALID, "the page token is not one of this list") from None
