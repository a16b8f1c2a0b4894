"""One channel to the registry: calls with retries, errors as our own, and the sequence of what this caller changed."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from registrar.errors import Code, InvalidArgument, RegistrarError
from registrar.reference import ModelRef, VersionRef
from registrar.retry import Patience, RetryPolicy, is_retryable
from registrar.rpc_errors import error_from_rpc
from registrar.types import Model, ModelVersion
from registrar.v1 import reference_pb2
from registrar.v1.admin_service_pb2_grpc import AdminServiceStub
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from registrar.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from registrar.v1.model_service_pb2_grpc import ModelServiceStub
from registrar.v1.model_version_service_pb2_grpc import ModelVersionServiceStub

Result = TypeVar("Result")
RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

AnyModelRef = str | ModelRef | Model
AnyVersionRef = str | VersionRef | ModelVersion

MESSAGE_BYTES = 16 << 20
"""What an answer may have: 20,000 files of a bundle fit in a page or two."""

_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?")
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # 16 KiB is what the server takes too; gRPC's own 8 KiB would cut off long lists of violations.
    ("grpc.max_metadata_size", 16 << 10),
    # A ping a minute finds a dead peer behind a firewall; servers that allow one every 30 s do not mind.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A restart of the server is a matter of seconds: gRPC's own pause grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Connections of our own, so that two registries do not share (and close) one.
    ("grpc.use_local_subchannel_pool", 1),
)


class Calls:
    """What the parts of `Registry` share: a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


class HasConsistency(Protocol):
    """A read that can say how fresh its answer must be."""

    @property
    def consistency(self) -> reference_pb2.Consistency:
        """Filled in by the connection."""


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


class Connection:
    """A channel and how calls go over it. Thread-safe; `close` may be called twice."""

    def __init__(
        self,
        target: str,
        *,
        tenant: str,
        timeout_seconds: float,
        connect_timeout_seconds: float,
        retry: RetryPolicy,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.target = target
        self.tenant = tenant
        self.timeout_seconds = timeout_seconds
        self.retry = retry
        self.sequence = EventSequence()
        self.channel = open_channel(target, credentials)
        self.models = ModelServiceStub(self.channel)
        self.versions = ModelVersionServiceStub(self.channel)
        self.lifecycle = LifecycleServiceStub(self.channel)
        self.artifacts = ArtifactServiceStub(self.channel)
        self.admin = AdminServiceStub(self.channel)
        self.is_closed = False
        self._credentials = credentials
        self._connect_timeout_seconds = connect_timeout_seconds
        self._has_answered = False

    def close(self) -> None:
        """End every call that runs, and the channel."""
        self.is_closed = True
        self.channel.close()

    def to_endpoint(self, target: str) -> Connection:
        """Another connection with the same settings, TLS included."""
        scheme, separator, _ = self.target.partition("://")
        return Connection(
            f"{scheme}://{target}" if separator and "://" not in target else target,
            tenant=self.tenant,
            timeout_seconds=self.timeout_seconds,
            connect_timeout_seconds=self._connect_timeout_seconds,
            retry=self.retry,
            credentials=self._credentials,
        )

    def unary(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout_seconds: float | None = None,
        attempt_seconds: float | None = None,
    ) -> ResponseT:
        """Call until it succeeds, fails for good, or the time is up; raises RegistrarError.

        `attempt_seconds` bounds one attempt: then DEADLINE_EXCEEDED is tried again while time is left.
        """
        patience = Patience(self.timeout_seconds if timeout_seconds is None else timeout_seconds)

        def attempt() -> ResponseT:
            left = patience.left
            if attempt_seconds is not None:
                left = attempt_seconds if left is None else min(left, attempt_seconds)
            return method(request, timeout=left)

        retry_deadline = attempt_seconds is not None
        return self.attempts(
            attempt, patience, is_retryable=lambda e: is_retryable(e) or (retry_deadline and _is_deadline(e))
        )

    def attempts(
        self,
        attempt: Callable[[], Result],
        patience: Patience,
        *,
        is_retryable: Callable[[RegistrarError], bool] = is_retryable,
    ) -> Result:
        """Run `attempt` with retries; RpcErrors of it become RegistrarErrors.

        While no server has ever answered, patience is short: nobody waits a minute to learn of a wrong address.
        """
        first = patience.shorten(self._connect_timeout_seconds)
        failures = 0
        while True:
            if self.is_closed:
                raise InvalidArgument("this registry is closed: connect again", reason="CLOSED")
            try:
                result = attempt()
            except grpc.RpcError as exc:
                error = error_from_rpc(exc)
                error.__cause__ = exc
            except RegistrarError as exc:
                error = exc
            else:
                self._has_answered = True
                return result
            self._has_answered = self._has_answered or bool(error.reason)
            current = patience if self._has_answered else first
            if not is_retryable(error) or not current.wait(self.retry.delay(failures, error.retry_after)):
                raise self._explained(error)
            failures += 1

    def _explained(self, error: RegistrarError) -> RegistrarError:
        if error.code is Code.UNAVAILABLE and not error.reason and not self._has_answered:
            explained = type(error)(f"no registry answers at {self.target}", reason="UNREACHABLE")
            explained.__cause__ = error.__cause__
            return explained
        return error

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


def new_request_id() -> str:
    """An id that makes a repeated change answer as the first did."""
    return uuid.uuid4().hex


def pages(fetch: Callable[[str], tuple[list[Result], str]]) -> Iterator[Result]:
    """Every item of a list, fetched page by page as it is consumed; `fetch` takes a token and gives the next."""
    token = ""
    while True:
        items, token = fetch(token)
        yield from items
        if not token:
            return


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A channel to `host:port`; `grpcs://` or `https://` in front means TLS, as do credentials."""
    scheme, separator, address = target.partition("://")
    if not separator:
        scheme, address = "", target
    if scheme in ("grpcs", "https"):
        credentials = credentials or grpc.ssl_channel_credentials()
    elif scheme in ("grpc", "http"):
        scheme = ""
    elif scheme:
        address = target
    if scheme in ("grpcs", "https") and not re.search(r":[0-9]+$", address):
        address += ":443"
    options = [*_OPTIONS]
    if _LOOPBACK.fullmatch(address):
        # A proxy that the shell names for the world outside does not lead back here.
        options.append(("grpc.enable_http_proxy", 0))
    if credentials is not None:
        return grpc.secure_channel(address, credentials, options=options)
    return grpc.insecure_channel(address, options=options)


def _is_deadline(error: RegistrarError) -> bool:
    return error.code is Code.DEADLINE_EXCEEDED
