"""What a call is described against, whichever client makes it: the services, the tenant, what the caller has changed."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Protocol

import grpc

from registrar.channel import check_private, endpoint_of
from registrar.errors import InvalidArgument
from registrar.reference import ModelRef, VersionRef
from registrar.settings import Settings
from registrar.types import Model, ModelVersion
from registrar.v1 import reference_pb2
from registrar.v1.admin_service_pb2_grpc import AdminServiceStub
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from registrar.v1.audit_service_pb2_grpc import AuditServiceStub
from registrar.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from registrar.v1.lineage_service_pb2_grpc import LineageServiceStub
from registrar.v1.model_card_service_pb2_grpc import ModelCardServiceStub
from registrar.v1.model_service_pb2_grpc import ModelServiceStub
from registrar.v1.model_version_service_pb2_grpc import ModelVersionServiceStub

AnyModelRef = str | ModelRef | Model
AnyVersionRef = str | VersionRef | ModelVersion


class HasConsistency(Protocol):
    """A read that can say how fresh its answer must be."""

    @property
    def consistency(self) -> reference_pb2.Consistency:
        """Filled in by the context."""


class EventSequence:
    """The highest sequence among this caller's changes; its reads ask for at least that. Thread-safe."""

    def __init__(self) -> None:
        self._value = 0
        self._lock = threading.Lock()

    @property
    def value(self) -> int:
        """0 before the first change."""
        return self._value

    def advance(self, sequence: int) -> None:
        """Note the sequence of a reply."""
        with self._lock:
            self._value = max(self._value, sequence)


class CallContext:
    """The half of a connection that does not depend on how its calls are waited for.

    Errors: InvalidArgument INSECURE_CHANNEL when there is a token, and a network without TLS.
    """

    models: ModelServiceStub
    versions: ModelVersionServiceStub
    lifecycle: LifecycleServiceStub
    lineages: LineageServiceStub
    cards: ModelCardServiceStub
    artifacts: ArtifactServiceStub
    admin: AdminServiceStub
    audit: AuditServiceStub
    health: grpc.UnaryUnaryMultiCallable[bytes, bytes]

    def __init__(self, settings: Settings, sequence: EventSequence | None = None) -> None:
        self.settings = settings
        self.target = settings.target
        self.endpoint = endpoint_of(settings.target, settings.credentials)
        if settings.tokens is not None:
            check_private(self.endpoint)
        self.tenant = settings.tenant
        self.timeout_seconds = settings.timeout_seconds
        self.retry = settings.retry
        self.sequence = sequence or EventSequence()
        self.is_closed = False
        self.has_answered = False
        """Whether any server has ever answered."""

    def use(self, channel: grpc.Channel) -> None:
        """Make calls over this channel from now on."""
        self.models = ModelServiceStub(channel)
        self.versions = ModelVersionServiceStub(channel)
        self.lifecycle = LifecycleServiceStub(channel)
        self.lineages = LineageServiceStub(channel)
        self.cards = ModelCardServiceStub(channel)
        self.artifacts = ArtifactServiceStub(channel)
        self.admin = AdminServiceStub(channel)
        self.audit = AuditServiceStub(channel)
        self.health = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
        )

    def check_open(self) -> None:
        """Refuse to go on after the end. Errors: InvalidArgument CLOSED."""
        if self.is_closed:
            raise InvalidArgument("this registry is closed: connect again", reason="CLOSED")

    def model_ref(self, ref: AnyModelRef) -> ModelRef:
        """The model that a caller means, in this connection's tenant unless the reference names another."""
        if isinstance(ref, Model):
            return ref.ref
        parsed = ModelRef.parse(ref) if isinstance(ref, str) else ref
        return parsed if parsed.tenant or not self.tenant else ModelRef(parsed.name, self.tenant)

    def version_ref(self, ref: AnyVersionRef) -> VersionRef:
        """The version that a caller means, in this connection's tenant unless the reference names another."""
        if isinstance(ref, ModelVersion):
            return ref.ref
        parsed = VersionRef.parse(ref) if isinstance(ref, str) else ref
        if parsed.model.tenant or not self.tenant:
            return parsed
        return replace(parsed, model=ModelRef(parsed.model.name, self.tenant))

    def ask_fresh(self, request: HasConsistency, *, strong: bool) -> None:
        """Make a read see this caller's own changes, or, when strong, everybody's."""
        if strong:
            request.consistency.strong = True
        elif self.sequence.value:
            request.consistency.at_least_sequence = self.sequence.value
