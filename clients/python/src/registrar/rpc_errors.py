"""A `grpc.RpcError` as one of our exceptions, with the details that the server attached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from registrar.errors import Code, Precondition, QuotaViolation, RegistrarError, Violation, error_class

_DETAILS_KEY = "grpc-status-details-bin"


def error_from_rpc(error: grpc.RpcError) -> RegistrarError:
    """Decode status, `ErrorInfo`, `BadRequest`, `PreconditionFailure`, `QuotaFailure` and `RetryInfo`; others are passed over."""
    code = Code(error.code().name) if error.code() is not None else Code.UNKNOWN
    message = error.details() or ""
    reason = ""
    metadata: dict[str, str] = {}
    violations: list[Violation] = []
    preconditions: list[Precondition] = []
    quotas: list[QuotaViolation] = []
    retry_after: float | None = None
    for detail in _details(error):
        if detail.TypeName() == "google.rpc.ErrorInfo":
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.TypeName() == "google.rpc.BadRequest":
            request = error_details_pb2.BadRequest.FromString(detail.value)
            violations += [Violation(v.field, v.description) for v in request.field_violations]
        elif detail.TypeName() == "google.rpc.PreconditionFailure":
            failure = error_details_pb2.PreconditionFailure.FromString(detail.value)
            preconditions += [Precondition(v.type, v.subject, v.description) for v in failure.violations]
        elif detail.TypeName() == "google.rpc.QuotaFailure":
            exceeded = error_details_pb2.QuotaFailure.FromString(detail.value)
            quotas += [QuotaViolation(v.subject, v.description) for v in exceeded.violations]
        elif detail.TypeName() == "google.rpc.RetryInfo":
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            retry_after = delay.seconds + delay.nanos / 1e9
    return error_class(code)(
        message or code.replace("_", " ").lower(),
        code=code,
        reason=reason,
        metadata=metadata,
        violations=violations,
        preconditions=preconditions,
        quotas=quotas,
        retry_after=retry_after,
    )


def _details(error: grpc.RpcError) -> list[Any]:
    # Pairs, over both of gRPC's interfaces; only one of them also gives the halves names.
    for key, value in cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ()):
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:  # a proxy between us and the server may put anything there
                return []
    return []
