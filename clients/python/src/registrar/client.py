"""`connect`, and the registry that it gives."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import grpc

from registrar.access import AccessCalls
from registrar.admin import AdminCalls
from registrar.aliases import AliasCalls
from registrar.approvals import ApprovalCalls
from registrar.audits import AuditCalls
from registrar.connection import Connection
from registrar.lifecycle import LifecycleCalls
from registrar.lineages import LineageCalls
from registrar.model_cards import ModelCardCalls
from registrar.models import ModelCalls
from registrar.policies import PolicyCalls
from registrar.retry import RetryPolicy
from registrar.reviews import ReviewCalls
from registrar.settings import resolve_settings
from registrar.tenants import TenantCalls
from registrar.tokens import TokenCallable
from registrar.uploads import UploadCalls


def connect(
    target: str | None = None,
    *,
    tenant: str | None = None,
    timeout_seconds: float = 60.0,
    connect_timeout_seconds: float = 10.0,
    retry: RetryPolicy | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    token: str | TokenCallable | None = None,
) -> Registry:
    """A registry, to be closed after use: `with registrar.connect() as registry: …`.

    `target` is `host:port`, with TLS when `grpcs://` stands in front; None: REGISTRAR_SERVER, or 127.0.0.1:50051.
    `tenant` is where references without one belong; None: REGISTRAR_TENANT, or what the server takes the caller for.
    `timeout_seconds` bounds a call with all its retries; for transfers, how long nothing may move. While no server has
    answered yet, `connect_timeout_seconds` bounds it. No connection is made before the first call.

    `credentials` are for TLS, see `tls_credentials`; None: REGISTRAR_CA, REGISTRAR_CLIENT_CERTIFICATE and
    REGISTRAR_CLIENT_KEY name files for them. `token` says who calls: a text; or a callable that gives one, and another
    when that is about to end or was refused; None: REGISTRAR_TOKEN, or what `registrar login` has stored for this
    address, refreshed when need be; empty: nobody.
    Errors: InvalidArgument INSECURE_CHANNEL when a token would go over a network without TLS, unless
    REGISTRAR_ALLOW_PLAINTEXT_NETWORK is true; TLS_FILE_UNREADABLE, TLS_FILE_INVALID; FailedPrecondition
    CREDENTIALS_FILE_EXPOSED, CREDENTIALS_FILE_CORRUPT.
    """
    settings = resolve_settings(
        target,
        tenant=tenant,
        timeout_seconds=timeout_seconds,
        connect_timeout_seconds=connect_timeout_seconds,
        retry=retry,
        credentials=credentials,
        token=token,
    )
    return Registry(Connection(settings))


class Registry(
    ModelCalls,
    UploadCalls,
    AliasCalls,
    LifecycleCalls,
    LineageCalls,
    PolicyCalls,
    ApprovalCalls,
    ReviewCalls,
    ModelCardCalls,
    AdminCalls,
    AccessCalls,
    TenantCalls,
    AuditCalls,
):
    """A model registry. Thread-safe; made by `connect`. `registrar.aio` has the same for asyncio.

    Every change carries a request id (a new one unless given), so it is tried again after a broken connection without
    being made twice. What another caller's change makes impossible raises Aborted and is never tried again by itself.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def target(self) -> str:
        """Where it is."""
        return self._connection.target

    @property
    def event_sequence(self) -> int:
        """Sequence of the last change that was made through this object; 0: none."""
        return self._connection.sequence.value
