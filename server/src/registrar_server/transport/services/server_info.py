"""The RPCs of AdminService that tell about the server and about callers."""

from __future__ import annotations

import grpc
from google.protobuf.duration_pb2 import Duration

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import admin_service_pb2_grpc
from registrar_server.application.server_status import LoginOptions, ServerFacts, ServerStatus
from registrar_server.domain import limits
from registrar_server.transport.calls import current_caller
from registrar_server.transport.convert.access import held_role_to_proto
from registrar_server.transport.convert.values import time_to_proto


class ServerInfoRpcs(admin_service_pb2_grpc.AdminServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, status: ServerStatus, facts: ServerFacts, login: LoginOptions) -> None:
        self._status = status
        self._facts = facts
        self._login = login

    def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetServerInfoResponse:
        """See the contract."""
        caller = current_caller()
        progress = self._status.mirror_progress()
        facts = self._facts
        cache = self._status.cache()
        return pb.GetServerInfoResponse(
            server_version=facts.version,
            features=facts.features,
            digest_functions=["sha256"],
            limits=pb.Limits(
                message_bytes=limits.MESSAGE_BYTES,
                chunk_bytes=limits.CHUNK_BYTES,
                metadata_bytes=limits.METADATA_BYTES,
                bundle_files=limits.BUNDLE_FILES,
                transfer_slots=facts.transfer_slots,
                tags=limits.TAGS,
                metrics=limits.METRICS,
                description_characters=limits.DESCRIPTION_CHARACTERS,
            ),
            # It asks for no client certificate, so whoever is known by one would be a stranger there.
            bulk_endpoint="" if caller.method == "certificate" else facts.bulk_endpoint,
            caller=pb.Caller(actor=caller.actor, tenant=caller.tenant, roles=caller.access.roles_in(caller.tenant)),
            mirror=pb.MirrorStatus(
                event_sequence=progress.event_sequence,
                mirrored_sequence=progress.mirrored_sequence,
                pending_models=progress.pending_models,
            ),
            cache_ttl=_duration(facts.cache_ttl_seconds),
            artifact_root=facts.artifact_root,
            cache=pb.CacheStatus(
                entries=cache.entries,
                event_sequence=cache.position,
                behind=_duration(cache.seconds_behind),
                is_degraded=cache.is_degraded,
            ),
        )

    def GetLoginOptions(
        self, request: pb.GetLoginOptionsRequest, context: grpc.ServicerContext
    ) -> pb.GetLoginOptionsResponse:
        """See the contract."""
        login = self._login
        return pb.GetLoginOptionsResponse(
            is_authentication_required=login.is_authentication_required,
            oidc_issuer=login.oidc_issuer,
            oidc_client_id=login.oidc_client_id,
            oidc_scopes=login.oidc_scopes,
            oidc_audience=login.oidc_audience,
        )

    def GetCaller(self, request: pb.GetCallerRequest, context: grpc.ServicerContext) -> pb.GetCallerResponse:
        """See the contract."""
        caller = current_caller()
        return pb.GetCallerResponse(
            actor=caller.actor,
            method=caller.method,
            tenant=caller.tenant,
            groups=caller.groups,
            roles=map(held_role_to_proto, caller.access.held),
            expire_time=time_to_proto(caller.expire_time),
        )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
