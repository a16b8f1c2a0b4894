"""Every way in which a call can be refused, as one closed set of reasons.

A reason is part of the contract: `registrar.v1.ErrorReason` has a value of the same name, and the
transport maps each to one gRPC status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Stable names; clients branch on them. Documented in `protos/registrar/v1/error.proto`."""

    INVALID_FIELD = "INVALID_FIELD"
    STREAM_MALFORMED = "STREAM_MALFORMED"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105  (a reason's name, no secret)
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    MODEL_EXISTS = "MODEL_EXISTS"
    MODEL_DELETED = "MODEL_DELETED"
    MODEL_IN_USE = "MODEL_IN_USE"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    VERSION_NOT_READY = "VERSION_NOT_READY"
    VERSION_DELETED = "VERSION_DELETED"
    VERSION_IN_USE = "VERSION_IN_USE"
    SEMANTIC_VERSION_EXISTS = "SEMANTIC_VERSION_EXISTS"
    ALIAS_NOT_FOUND = "ALIAS_NOT_FOUND"
    ALIAS_MOVED = "ALIAS_MOVED"
    STAGE_EMPTY = "STAGE_EMPTY"
    STAGE_HAS_SEVERAL_HOLDERS = "STAGE_HAS_SEVERAL_HOLDERS"
    STAGE_HOLDER_CHANGED = "STAGE_HOLDER_CHANGED"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION"
    NO_PREVIOUS_PRODUCTION = "NO_PREVIOUS_PRODUCTION"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    ARTIFACT_NOT_FOUND = "ARTIFACT_NOT_FOUND"
    ARTIFACT_FILE_NOT_FOUND = "ARTIFACT_FILE_NOT_FOUND"
    ARTIFACT_UNVERIFIED = "ARTIFACT_UNVERIFIED"
    ARTIFACT_CORRUPT = "ARTIFACT_CORRUPT"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    SIZE_MISMATCH = "SIZE_MISMATCH"
    CHUNK_CORRUPT = "CHUNK_CORRUPT"
    OFFSET_MISMATCH = "OFFSET_MISMATCH"
    RANGE_INVALID = "RANGE_INVALID"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    SOURCE_NOT_ALLOWED = "SOURCE_NOT_ALLOWED"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"
    REGISTRATION_PENDING = "REGISTRATION_PENDING"
    MLFLOW_DRIFT = "MLFLOW_DRIFT"
    MLFLOW_UNAVAILABLE = "MLFLOW_UNAVAILABLE"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    STORE_FULL = "STORE_FULL"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    DATABASE_BUSY = "DATABASE_BUSY"
    NO_TRANSFER_SLOT = "NO_TRANSFER_SLOT"
    TRANSFER_STALLED = "TRANSFER_STALLED"
    SERVER_STOPPING = "SERVER_STOPPING"
    TENANT_NOT_FOUND = "TENANT_NOT_FOUND"
    METHOD_NOT_IMPLEMENTED = "METHOD_NOT_IMPLEMENTED"
    UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
    UPLOAD_INCOMPLETE = "UPLOAD_INCOMPLETE"
    UPLOAD_PENDING = "UPLOAD_PENDING"
    UPLOAD_COMMITTED = "UPLOAD_COMMITTED"
    RANGE_NOT_MISSING = "RANGE_NOT_MISSING"
    WRITER_REPLACED = "WRITER_REPLACED"
    FILTER_INVALID = "FILTER_INVALID"
    CREDENTIALS_MISSING = "CREDENTIALS_MISSING"
    CREDENTIALS_INVALID = "CREDENTIALS_INVALID"
    CREDENTIALS_EXPIRED = "CREDENTIALS_EXPIRED"
    IDENTITY_PROVIDER_UNAVAILABLE = "IDENTITY_PROVIDER_UNAVAILABLE"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    TENANT_SUSPENDED = "TENANT_SUSPENDED"
    TENANT_EXISTS = "TENANT_EXISTS"
    TENANT_IN_USE = "TENANT_IN_USE"
    ROLE_NOT_FOUND = "ROLE_NOT_FOUND"
    ROLE_EXISTS = "ROLE_EXISTS"
    ROLE_BUILT_IN = "ROLE_BUILT_IN"
    ROLE_IN_USE = "ROLE_IN_USE"
    ROLE_BINDING_NOT_FOUND = "ROLE_BINDING_NOT_FOUND"
    TOKEN_NOT_FOUND = "TOKEN_NOT_FOUND"  # noqa: S105  (a reason's name, no secret)
    AUDIT_ENTRY_NOT_FOUND = "AUDIT_ENTRY_NOT_FOUND"
    AUDIT_ALTERED = "AUDIT_ALTERED"
    POLICY_NOT_MET = "POLICY_NOT_MET"
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
    POLICY_EXISTS = "POLICY_EXISTS"
    APPROVAL_NOT_FOUND = "APPROVAL_NOT_FOUND"
    APPROVAL_EXISTS = "APPROVAL_EXISTS"
    APPROVAL_NOT_REQUIRED = "APPROVAL_NOT_REQUIRED"
    APPROVAL_CLOSED = "APPROVAL_CLOSED"
    APPROVAL_OUT_OF_ORDER = "APPROVAL_OUT_OF_ORDER"
    FOUR_EYES = "FOUR_EYES"
    DECIDED_BEFORE = "DECIDED_BEFORE"
    PEOPLE_ONLY = "PEOPLE_ONLY"
    COMMENT_NOT_FOUND = "COMMENT_NOT_FOUND"
    CARD_NOT_FOUND = "CARD_NOT_FOUND"
    CARD_MALFORMED = "CARD_MALFORMED"
    SIGNATURE_BREAKING = "SIGNATURE_BREAKING"
    METADATA_INCOMPLETE = "METADATA_INCOMPLETE"
    DATASET_NOT_FOUND = "DATASET_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong: its path in the request (``files[3].path``) and what it must be."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class FailedPrecondition:
    """One condition that does not hold: its kind, the thing it is about, and what would satisfy it."""

    type: str
    subject: str
    description: str


@dataclass(frozen=True, slots=True)
class ExceededQuota:
    """A quota that is used up: whose (`tenant:acme`), and what it allows."""

    subject: str
    description: str


class RegistrarError(Exception):
    """A refusal with a stable reason. The message is for people and carries no backend's text."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        preconditions: Sequence[FailedPrecondition] = (),
        quotas: Sequence[ExceededQuota] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.preconditions = tuple(preconditions)
        self.quotas = tuple(quotas)
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(RegistrarError):
    """Fields of a request are wrong; carries every violation at once."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        listed = "; ".join(f"{v.field}: {v.description}" for v in violations)
        super().__init__(Reason.INVALID_FIELD, f"invalid request: {listed}", violations=violations)
