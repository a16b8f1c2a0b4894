"""From a refusal to a gRPC status: one table, and the details of google.rpc."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from registrar_server.domain.errors import Reason, RegistrarError

DOMAIN = "registrar"

CODES: Mapping[Reason, grpc.StatusCode] = {
    Reason.INVALID_FIELD: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.STREAM_MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.REQUEST_ID_REUSED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.PAGE_TOKEN_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.MODEL_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.MODEL_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.MODEL_DELETED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.MODEL_IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.VERSION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.VERSION_NOT_READY: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.VERSION_DELETED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.VERSION_IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SEMANTIC_VERSION_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.ALIAS_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.ALIAS_MOVED: grpc.StatusCode.ABORTED,
    Reason.STAGE_EMPTY: grpc.StatusCode.NOT_FOUND,
    Reason.STAGE_HAS_SEVERAL_HOLDERS: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.STAGE_HOLDER_CHANGED: grpc.StatusCode.ABORTED,
    Reason.ILLEGAL_TRANSITION: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.NO_PREVIOUS_PRODUCTION: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ETAG_MISMATCH: grpc.StatusCode.ABORTED,
    Reason.ARTIFACT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.ARTIFACT_FILE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.ARTIFACT_UNVERIFIED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ARTIFACT_CORRUPT: grpc.StatusCode.DATA_LOSS,
    Reason.DIGEST_MISMATCH: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.SIZE_MISMATCH: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.CHUNK_CORRUPT: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.OFFSET_MISMATCH: grpc.StatusCode.OUT_OF_RANGE,
    Reason.RANGE_INVALID: grpc.StatusCode.OUT_OF_RANGE,
    Reason.RUN_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.SOURCE_NOT_ALLOWED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REGISTRATION_FAILED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REGISTRATION_PENDING: grpc.StatusCode.UNAVAILABLE,
    Reason.MLFLOW_DRIFT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.MLFLOW_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.DATABASE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.DATABASE_BUSY: grpc.StatusCode.UNAVAILABLE,
    Reason.NO_TRANSFER_SLOT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.TRANSFER_STALLED: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.SERVER_STOPPING: grpc.StatusCode.UNAVAILABLE,
    Reason.TENANT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.METHOD_NOT_IMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    Reason.UPLOAD_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.UPLOAD_INCOMPLETE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.UPLOAD_PENDING: grpc.StatusCode.UNAVAILABLE,
    Reason.UPLOAD_COMMITTED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.RANGE_NOT_MISSING: grpc.StatusCode.OUT_OF_RANGE,
    Reason.WRITER_REPLACED: grpc.StatusCode.ABORTED,
    Reason.FILTER_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.CREDENTIALS_MISSING: grpc.StatusCode.UNAUTHENTICATED,
    Reason.CREDENTIALS_INVALID: grpc.StatusCode.UNAUTHENTICATED,
    Reason.CREDENTIALS_EXPIRED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.IDENTITY_PROVIDER_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.QUOTA_EXCEEDED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.TENANT_SUSPENDED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TENANT_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.TENANT_IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ROLE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.ROLE_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.ROLE_BUILT_IN: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ROLE_IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ROLE_BINDING_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.TOKEN_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.AUDIT_ENTRY_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.AUDIT_ALTERED: grpc.StatusCode.DATA_LOSS,
    Reason.POLICY_NOT_MET: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.POLICY_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.POLICY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.APPROVAL_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.APPROVAL_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.APPROVAL_NOT_REQUIRED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.APPROVAL_CLOSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.APPROVAL_OUT_OF_ORDER: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.FOUR_EYES: grpc.StatusCode.PERMISSION_DENIED,
    Reason.DECIDED_BEFORE: grpc.StatusCode.PERMISSION_DENIED,
    Reason.PEOPLE_ONLY: grpc.StatusCode.PERMISSION_DENIED,
    Reason.COMMENT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.CARD_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.CARD_MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.SIGNATURE_BREAKING: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.METADATA_INCOMPLETE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.DATASET_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
}

# Trailers of more than 8 KiB are refused by clients and proxies, now and then or always; some room is for other entries.
_TRAILERS_BYTES = 7_000
_ENTRY_BYTES = 650
"""An entry of a list of violations has at most so many."""
_MESSAGE_BYTES = 800


def to_status(error: RegistrarError) -> grpc.Status:
    """The status to abort a call with: code, message, ErrorInfo and what else helps."""
    code = CODES[error.reason]
    number: int = code.value[0]
    status = status_pb2.Status(code=code_pb2.Code.ValueType(number), message=_cut(error.message, _MESSAGE_BYTES))
    _pack(
        status,
        error_details_pb2.ErrorInfo(
            reason=error.reason.value,
            domain=DOMAIN,
            metadata={key: _cut(value, 500) for key, value in error.metadata.items()},
        ),
    )
    # The message is sent twice, once of them percent-encoded.
    left_bytes = _TRAILERS_BYTES - status.ByteSize() - len(quote(status.message))
    if error.violations:
        _pack(status, _bad_request(error, left_bytes))
    if error.preconditions:
        _pack(status, _precondition_failure(error, left_bytes))
    if error.quotas:
        exceeded = error_details_pb2.QuotaFailure()
        for quota in error.quotas:
            exceeded.violations.add(subject=quota.subject, description=quota.description)
        _pack(status, exceeded)
    if error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        _pack(status, retry)
    return rpc_status.to_status(status)


def _bad_request(error: RegistrarError, size_bytes: int) -> error_details_pb2.BadRequest:
    """Every violation, as far as a trailer can carry them; the last entry says how many were left out."""
    details = error_details_pb2.BadRequest()
    for index, violation in enumerate(error.violations):
        if details.ByteSize() > size_bytes - _ENTRY_BYTES:
            left = len(error.violations) - index
            details.field_violations.add(field="", description=f"{left} more violations do not fit here")
            break
        details.field_violations.add(field=_cut(violation.field, 300), description=_cut(violation.description, 300))
    return details


def _precondition_failure(error: RegistrarError, size_bytes: int) -> error_details_pb2.PreconditionFailure:
    """Every condition, as far as a trailer can carry them; the last entry says how many were left out."""
    details = error_details_pb2.PreconditionFailure()
    for index, condition in enumerate(error.preconditions):
        if details.ByteSize() > size_bytes - _ENTRY_BYTES:
            left = len(error.preconditions) - index
            details.violations.add(type=condition.type, description=f"{left} more conditions do not fit here")
            break
        details.violations.add(
            type=condition.type, subject=_cut(condition.subject, 300), description=_cut(condition.description, 300)
        )
    return details


def _pack(status: status_pb2.Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def _cut(text: str, size_bytes: int) -> str:
    """In bytes: what is no ASCII takes up to four, and twelve in the message, which gRPC sends percent-encoded."""
    return text.encode(errors="replace")[:size_bytes].decode(errors="ignore")
