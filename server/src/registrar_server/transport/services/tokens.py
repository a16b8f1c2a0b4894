"""The RPCs of AdminService about credentials."""

from __future__ import annotations

import grpc

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import admin_service_pb2_grpc
from registrar_server.application.administration.tokens import NewToken, SessionsRevoked, TokenChanged, Tokens
from registrar_server.domain import limits
from registrar_server.domain.validation import checking
from registrar_server.domain.values import UID
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.access import scope_from_proto, token_to_proto, token_ttl_from_proto
from registrar_server.transport.convert.values import time_to_proto
from registrar_server.transport.paging import decode_place, encode_place, page_size


class TokenRpcs(admin_service_pb2_grpc.AdminServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def CreateToken(self, request: pb.CreateTokenRequest, context: grpc.ServicerContext) -> pb.CreateTokenResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            wanted = NewToken(
                tenant=scope_from_proto(check, "tenant", request.tenant, current_caller()),
                name=check.service_name("name", request.name),
                role=check.role_name("role", request.role),
                ttl_seconds=token_ttl_from_proto(check, "ttl", request.ttl, is_given=request.HasField("ttl")),
                models=check.model_pattern("model_pattern", request.model_pattern),
                description=check.text("description", request.description, limits.NOTE_CHARACTERS),
            )
        answer, secret = self._tokens.create(mutation_of(request, request.request_id, _created), wanted)
        response = pb.CreateTokenResponse.FromString(answer)
        response.secret = secret
        return response

    def ListTokens(self, request: pb.ListTokensRequest, context: grpc.ServicerContext) -> pb.ListTokensResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
        size = page_size(request.page_size)
        after = decode_place(request, request.page_token)
        found = self._tokens.list(tenant, is_ended_shown=request.show_ended, after=after, limit=size + 1)
        response = pb.ListTokensResponse(tokens=map(token_to_proto, found[:size]))
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = encode_place(request, last.create_time, last.id)
        return response

    def RevokeToken(self, request: pb.RevokeTokenRequest, context: grpc.ServicerContext) -> pb.RevokeTokenResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            token_id = check.pattern("id", request.id, UID, "32 lower-case hex digits")
            comment = check.text("comment", request.comment, limits.NOTE_CHARACTERS)
        mutation = mutation_of(request, request.request_id, _revoked)
        return pb.RevokeTokenResponse.FromString(self._tokens.revoke(mutation, tenant, token_id, comment=comment))

    def RevokeSessions(
        self, request: pb.RevokeSessionsRequest, context: grpc.ServicerContext
    ) -> pb.RevokeSessionsResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            member = check.user("member", request.member)
            comment = check.text("comment", request.comment, limits.NOTE_CHARACTERS)
        mutation = mutation_of(request, request.request_id, _cut)
        return pb.RevokeSessionsResponse.FromString(self._tokens.revoke_sessions(mutation, member, comment=comment))


def _created(changed: TokenChanged) -> pb.CreateTokenResponse:
    return pb.CreateTokenResponse(token=token_to_proto(changed.token), event_sequence=changed.sequence)


def _revoked(changed: TokenChanged) -> pb.RevokeTokenResponse:
    return pb.RevokeTokenResponse(token=token_to_proto(changed.token), event_sequence=changed.sequence)


def _cut(revoked: SessionsRevoked) -> pb.RevokeSessionsResponse:
    return pb.RevokeSessionsResponse(not_before=time_to_proto(revoked.not_before), event_sequence=revoked.sequence)
