"""A gRPC server with every service, the guards around every call, health, reflection and channelz."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import grpc
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from registrar.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    artifact_service_pb2,
    audit_service_pb2,
    audit_service_pb2_grpc,
    lifecycle_service_pb2,
    lifecycle_service_pb2_grpc,
    lineage_service_pb2,
    lineage_service_pb2_grpc,
    model_card_service_pb2,
    model_card_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    model_version_service_pb2,
    model_version_service_pb2_grpc,
)
from registrar_server.application.administration.administration import Administration
from registrar_server.application.aliases import Aliases
from registrar_server.application.artifacts import Artifacts
from registrar_server.application.audit import Audit
from registrar_server.application.authentication import Authentication
from registrar_server.application.cards.cards import Cards
from registrar_server.application.downloads import Downloads
from registrar_server.application.event_tail import EventTail
from registrar_server.application.evidence.export import Evidence
from registrar_server.application.governance.governance import Governance
from registrar_server.application.history import History
from registrar_server.application.lifecycle import Lifecycle
from registrar_server.application.lineage import Lineages
from registrar_server.application.models import Models
from registrar_server.application.ports.metrics import Metrics
from registrar_server.application.refusals import Refusals
from registrar_server.application.registration import Registration
from registrar_server.application.reply_cache import ReplyCache
from registrar_server.application.search.searching import Searching
from registrar_server.application.server_status import LoginOptions, ServerFacts, ServerStatus
from registrar_server.application.transfers import Transfers
from registrar_server.application.upload_streams import UploadStreams
from registrar_server.application.uploads import Uploads
from registrar_server.application.verification import Verification
from registrar_server.application.versions import Versions
from registrar_server.domain import limits
from registrar_server.domain.errors import RegistrarError
from registrar_server.transport.admission import Admission
from registrar_server.transport.call_metrics import CallMetrics
from registrar_server.transport.credentials import read_credentials
from registrar_server.transport.framing import add_artifact_service
from registrar_server.transport.handlers import Handler
from registrar_server.transport.health import Health
from registrar_server.transport.interceptors.access_log import AccessLog
from registrar_server.transport.interceptors.call_context import call_context
from registrar_server.transport.interceptors.errors import error_guard
from registrar_server.transport.interceptors.guard import Guard, GuardInterceptor
from registrar_server.transport.reflection import add_reflection
from registrar_server.transport.refusals import RefusalRecorder
from registrar_server.transport.replies import add_service, sends_bytes
from registrar_server.transport.services.admin import AdminServicer
from registrar_server.transport.services.artifacts import ArtifactServicer
from registrar_server.transport.services.audit import AuditServicer
from registrar_server.transport.services.cards import ModelCardServicer
from registrar_server.transport.services.lifecycle import LifecycleServicer
from registrar_server.transport.services.lineage import LineageServicer
from registrar_server.transport.services.models import ModelServicer
from registrar_server.transport.services.versions import ModelVersionServicer
from registrar_server.transport.streams import Slots

SERVICE_NAMES = tuple(
    file.services_by_name[name].full_name
    for file, name in (
        (model_service_pb2.DESCRIPTOR, "ModelService"),
        (model_version_service_pb2.DESCRIPTOR, "ModelVersionService"),
        (artifact_service_pb2.DESCRIPTOR, "ArtifactService"),
        (lifecycle_service_pb2.DESCRIPTOR, "LifecycleService"),
        (lineage_service_pb2.DESCRIPTOR, "LineageService"),
        (model_card_service_pb2.DESCRIPTOR, "ModelCardService"),
        (audit_service_pb2.DESCRIPTOR, "AuditService"),
        (admin_service_pb2.DESCRIPTOR, "AdminService"),
    )
)
BULK_SERVICE_NAMES = tuple(name for name in SERVICE_NAMES if name.endswith((".ArtifactService", ".AdminService")))
CACHE_HEALTH = "cache"
"""What to ask the health service for, to learn whether other processes' changes are seen as soon as they should be."""
_CHANNELZ = "grpc.channelz.v1.Channelz"


@dataclass(frozen=True, slots=True)
class UseCases:
    """Everything that the services call."""

    authentication: Authentication
    models: Models
    versions: Versions
    history: History
    searching: Searching
    registration: Registration
    aliases: Aliases
    lifecycle: Lifecycle
    cards: Cards
    governance: Governance
    lineages: Lineages
    audit: Audit
    evidence: Evidence
    refusals: Refusals
    artifacts: Artifacts
    uploads: Uploads
    upload_streams: UploadStreams
    downloads: Downloads
    transfers: Transfers
    verification: Verification
    replies: ReplyCache
    tail: EventTail
    status: ServerStatus
    administration: Administration


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server is run. Threads beyond the slots of all kinds are what small calls can count on.

    `transfer_slots` bounds uploads, and downloads by themselves. `is_bulk`: only transfers and administration are served.
    `transfer_cores`: where transfers may run although the process keeps to one core; empty: where everything runs.
    """

    threads: int = 32
    transfer_slots: int = 8
    registration_waits: int = 8
    stall_seconds: float = 60.0
    connection_age_seconds: float = 1800.0
    is_bulk: bool = False
    transfer_cores: frozenset[int] = frozenset()
    login: LoginOptions = field(default_factory=LoginOptions)


class RegistrarServer:
    """One process's server. Nothing is served before `start`."""

    def __init__(
        self,
        use_cases: UseCases,
        facts: ServerFacts,
        settings: ServerSettings,
        metrics: Metrics | None = None,
        guards: Sequence[Guard] = (),
    ) -> None:
        self.call_metrics = CallMetrics(metrics, threads=settings.threads) if metrics is not None else None
        self._authentication = use_cases.authentication
        self._transfers = use_cases.transfers
        self._refusals = RefusalRecorder(use_cases.refusals)
        self._admission = Admission(use_cases.authentication, read_credentials)
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="rpc")
        self._grpc = grpc.server(
            self._pool,
            interceptors=[
                GuardInterceptor(call_context, *guards, AccessLog(self.call_metrics), error_guard, admit=self._admit)
            ],
            options=_options(settings),
        )
        self._tail = use_cases.tail
        self._stall_seconds = settings.stall_seconds
        self._names = BULK_SERVICE_NAMES if settings.is_bulk else SERVICE_NAMES
        self._health = Health(("", CACHE_HEALTH, *self._names))
        self._add_services(use_cases, facts, settings)

    def _admit(self, method: str, handler: Handler) -> Handler:
        return self._refusals.wrap(method, self._admission.wrap(method, handler))

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Bind `host:port`, with TLS where there are credentials; the port bound.

        The port may be shared with the other workers (SO_REUSEPORT).
        """
        if credentials is None:
            return self._grpc.add_insecure_port(address)
        return self._grpc.add_secure_port(address, credentials)

    def start(self) -> None:
        """Serve, and say so."""
        self._grpc.start()
        self._tail.start()
        for name in ("", CACHE_HEALTH, *self._names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def look_after(self) -> None:
        """Say whether the cache follows what other processes change, and cut off who may not go on.

        To be called twice a second: so soon a revocation reaches streams.
        """
        status = health_pb2.HealthCheckResponse
        self._health.set(CACHE_HEALTH, status.NOT_SERVING if self._tail.is_degraded else status.SERVING)
        self._admission.cut_streams()
        with suppress(RegistrarError):
            self._authentication.flush_uses()
            self._transfers.keep()

    def stop(self, grace_seconds: float) -> None:
        """Say NOT_SERVING, take no more calls, let those under way end, cut off what is left after the grace."""
        self._health.enter_graceful_shutdown()
        self._grpc.stop(grace_seconds).wait()
        self._tail.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _add_services(self, use_cases: UseCases, facts: ServerFacts, settings: ServerSettings) -> None:
        uploads = Slots(settings.transfer_slots, "uploads", settings.transfer_cores)
        downloads = Slots(settings.transfer_slots, "downloads", settings.transfer_cores)
        waits = Slots(settings.registration_waits, "calls that wait")
        self.slots = (uploads, downloads, waits)
        artifacts = ArtifactServicer(
            use_cases.artifacts,
            use_cases.uploads,
            use_cases.upload_streams,
            use_cases.downloads,
            use_cases.verification,
            upload_slots=uploads,
            download_slots=downloads,
            wait_slots=waits,
            transfers=use_cases.transfers,
            stall_seconds=settings.stall_seconds,
        )
        add_artifact_service(artifacts, self._grpc)
        admin = AdminServicer(use_cases.status, facts, settings.login, use_cases.administration)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, self._grpc)
        if not settings.is_bulk:
            self._add_small_calls(use_cases, waits, downloads)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        channelz.add_channelz_servicer(self._grpc)
        add_reflection((*self._names, health.SERVICE_NAME, _CHANNELZ), self._grpc)

    def _add_small_calls(self, use_cases: UseCases, waits: Slots, downloads: Slots) -> None:
        replies = use_cases.replies
        versions = ModelVersionServicer(
            versions=use_cases.versions,
            history=use_cases.history,
            searching=use_cases.searching,
            registration=use_cases.registration,
            aliases=use_cases.aliases,
            replies=replies,
            waits=waits,
        )
        models = ModelServicer(use_cases.models, replies)
        lifecycle = LifecycleServicer(use_cases.lifecycle, use_cases.governance, downloads)
        add_models = model_service_pb2_grpc.add_ModelServiceServicer_to_server
        add_versions = model_version_service_pb2_grpc.add_ModelVersionServiceServicer_to_server
        add_service(add_models, models, self._grpc, sends_bytes)
        add_service(add_versions, versions, self._grpc, sends_bytes)
        lifecycle_service_pb2_grpc.add_LifecycleServiceServicer_to_server(lifecycle, self._grpc)
        lineage = LineageServicer(use_cases.lineages)
        lineage_service_pb2_grpc.add_LineageServiceServicer_to_server(lineage, self._grpc)
        cards = ModelCardServicer(use_cases.cards)
        model_card_service_pb2_grpc.add_ModelCardServiceServicer_to_server(cards, self._grpc)
        audit = AuditServicer(use_cases.audit, use_cases.evidence, downloads, stall_seconds=self._stall_seconds)
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audit, self._grpc)


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", limits.MESSAGE_BYTES),
        ("grpc.max_send_message_length", limits.MESSAGE_BYTES),
        ("grpc.max_metadata_size", limits.METADATA_BYTES),
        # A window of its own choosing grows until a client is far ahead of a busy server, in memory. 4 MiB are enough
        # within a data centre; over 50 ms they cap one connection at 80 MB/s.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 4 * 2**20),
        # Load spreads again after a restart; calls under way have ten minutes more.
        ("grpc.max_connection_age_ms", int(settings.connection_age_seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", 600_000),
        # A client that vanished without a word is found out within a minute and a half.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
