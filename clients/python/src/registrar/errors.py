"""What can go wrong, as exceptions of our own.

Branch on the class, or more finely on `reason`, which is stable; messages are for people. An exception that came from
the server has the `grpc.RpcError` as its `__cause__`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """The statuses of gRPC, by name."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong: its path in the request (`files[3].path`) and what it must be."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Precondition:
    """One condition that does not hold: its kind, the thing it is about, and what would satisfy it."""

    type: str
    subject: str
    description: str


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """One quota that is used up: whose it is, and what was too much."""

    subject: str
    description: str


class RegistrarError(Exception):
    """Any failure of a call. `retry_after` is in seconds, and set only where trying again can help."""

    code: Code = Code.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        preconditions: Sequence[Precondition] = (),
        quotas: Sequence[QuotaViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else type(self).code
        self.reason = reason
        """Name of a value of `registrar.v1.ErrorReason` without its prefix; empty when nobody gave one."""
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.violations = tuple(violations)
        self.preconditions = tuple(preconditions)
        self.quotas = tuple(quotas)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} [{self.reason or self.code}]"


class Cancelled(RegistrarError):
    """The call was cancelled, on this side or on the other."""

    code = Code.CANCELLED


class InvalidArgument(RegistrarError):
    """The request can never succeed as it is; `violations` names every wrong field."""

    code = Code.INVALID_ARGUMENT


class DeadlineExceeded(RegistrarError):
    """It took longer than allowed. A change may have happened all the same: repeat it with its request id."""

    code = Code.DEADLINE_EXCEEDED


class NotFound(RegistrarError):
    """There is no such thing, or the caller may not know of it."""

    code = Code.NOT_FOUND


class AlreadyExists(RegistrarError):
    """The name is taken."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(RegistrarError):
    """The caller may know of the thing, and may not do this; `metadata` says which right is missing on what."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(RegistrarError):
    """A quota, a transfer slot or the store's room is used up; `quotas` names each quota."""

    code = Code.RESOURCE_EXHAUSTED


class FailedPrecondition(RegistrarError):
    """The thing is not in the state that this needs; `preconditions` may name each condition."""

    code = Code.FAILED_PRECONDITION


class Aborted(RegistrarError):
    """Somebody else was faster: read again, decide, try again."""

    code = Code.ABORTED


class OutOfRange(RegistrarError):
    """An offset or range does not fit the file."""

    code = Code.OUT_OF_RANGE


class Unimplemented(RegistrarError):
    """The server does not know this method: it is older than this client."""

    code = Code.UNIMPLEMENTED


class Internal(RegistrarError):
    """A fault of the server, or an answer that breaks the contract."""

    code = Code.INTERNAL


class Unavailable(RegistrarError):
    """The server, or something behind it, does not answer; retries are used up."""

    code = Code.UNAVAILABLE


class DataLoss(RegistrarError):
    """Bytes are not what was pushed, or the audit is not what was written."""

    code = Code.DATA_LOSS


class Unauthenticated(RegistrarError):
    """The caller did not prove who it is: without credentials, or with some that are not valid or too old."""

    code = Code.UNAUTHENTICATED


_CLASSES: Mapping[Code, type[RegistrarError]] = {cls.code: cls for cls in RegistrarError.__subclasses__()}


def error_class(code: Code) -> type[RegistrarError]:
    """The exception that stands for a status; the base class for UNKNOWN."""
    return _CLASSES.get(code, RegistrarError)
