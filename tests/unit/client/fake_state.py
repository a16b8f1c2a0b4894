"""What the registry of the client's tests holds, what it was asked, and how it shall misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from registrar.v1 import (
    approval_pb2,
    artifact_pb2,
    audit_pb2,
    lifecycle_pb2,
    model_pb2,
    model_version_pb2,
    policy_pb2,
    reference_pb2,
    review_pb2,
)

if TYPE_CHECKING:
    from tests.unit.client.fake_uploads import Fault, Session

BLOCK_BYTES = 1000
"""Data of a download's chunk: small, so that a file has many."""
EPOCH_SECONDS = 1_760_000_000

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass
class Failure:
    """What a call ends with instead of an answer; `is_late`: after the work was done, only the answer is lost."""

    code: grpc.StatusCode
    reason: str = ""
    details: tuple[Message, ...] = ()
    is_late: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Bundle:
    """A committed bundle with its bytes."""

    artifact: artifact_pb2.Artifact
    files: dict[str, tuple[artifact_pb2.BundleFile, bytes]]


@dataclass
class State:
    """What the registry holds, what it was asked, and how it shall misbehave."""

    models: dict[str, model_pb2.Model] = field(default_factory=dict)
    versions: dict[str, list[model_version_pb2.ModelVersion]] = field(default_factory=dict)
    bundles: dict[str, Bundle] = field(default_factory=dict)
    transitions: list[lifecycle_pb2.StageTransition] = field(default_factory=list)
    moves: list[model_version_pb2.AliasMove] = field(default_factory=list)
    policies: dict[str, list[policy_pb2.Policy]] = field(default_factory=dict)
    """By name; their revisions, the oldest first."""
    failed_gates: list[policy_pb2.FailedGate] = field(default_factory=list)
    """What every version fails."""
    awaiting: list[policy_pb2.ApproverRequirement] = field(
        default_factory=lambda: [policy_pb2.ApproverRequirement(role="risk-officer")]
    )
    """By every approval that is asked for."""
    approvals: list[approval_pb2.Approval] = field(default_factory=list)
    comments: list[review_pb2.Comment] = field(default_factory=list)
    checks: list[review_pb2.CheckResult] = field(default_factory=list)
    """These three: the newest first."""
    audit: list[audit_pb2.AuditEvent] = field(default_factory=list)
    break_verifications: int = 0
    """So many end with UNAVAILABLE on the way."""
    replies: dict[str, Message] = field(default_factory=dict)
    requests: list[Message] = field(default_factory=list)
    failures: dict[str, list[Failure]] = field(default_factory=dict)
    break_download_at: list[int] = field(default_factory=list)
    """Each breaks one download with UNAVAILABLE once that many bytes of the file were sent."""
    flip_byte_of: str = ""
    damaged_chunks: int = 0
    """So many chunks of downloads arrive other than they were sent."""
    omit_trailer: bool = False
    hold_downloads: threading.Event | None = None
    """Downloads stop after their first chunk until it is set."""
    download_held: threading.Event = field(default_factory=threading.Event)
    download_slots: int = 100
    downloads: int = 0
    """That run now."""
    refused_downloads: int = 0
    uploads: dict[str, Session] = field(default_factory=dict)
    upload_count: int = 0
    part_bytes: int = 1000
    """Of the files of upload sessions."""
    copied_paths: dict[str, int] = field(default_factory=dict)
    """Files that the store copies, when not zero."""
    is_copying_broken: bool = False
    pending_files: list[int] = field(default_factory=list)
    """Each makes one CommitUpload answer that so many files are not ready."""
    faults: list[Fault] = field(default_factory=list)
    """Each ends one WriteUpload."""
    damaged_files: int = 0
    """So many files turn out not to have their digest."""
    unchecked_chunks: int = 0
    most_ranges: int = 50_000
    """In one answer about a session."""
    slots: int = 100
    writers: int = 0
    most_writers: int = 0
    refused_writers: int = 0
    epoch: int = 0
    errors: list[str] = field(default_factory=list)
    """Requests that no client of one's own should make."""
    store_url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    """What was put into the store, by path."""
    bulk_endpoint: str = ""
    artifact_root: str = "s3://bundles"
    mirrored_sequence: int | None = None
    is_serving: bool = True
    sequence: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fail_next(self, method: str, *failures: Failure) -> None:
        """The next calls of a method end with these, in order."""
        self.failures.setdefault(method, []).extend(failures)

    def seen(self, kind: type[Request]) -> list[Request]:
        """Requests of a kind, in order."""
        return [request for request in self.requests if isinstance(request, kind)]

    def next_sequence(self) -> int:
        """Of one more change."""
        self.sequence += 1
        return self.sequence


def refuse(
    context: grpc.ServicerContext, code: grpc.StatusCode, reason: str, *details: Message, **metadata: str
) -> NoReturn:
    """Abort as the server does, with `ErrorInfo` and further details; without a reason: as a proxy does."""
    message = reason.lower().replace("_", " ") or "no details"
    if reason:
        status = status_pb2.Status(code=code.value[0], message=message)
        info = error_details_pb2.ErrorInfo(reason=reason, domain="registrar", metadata=metadata)
        for detail in (info, *details):
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)
    raise AssertionError


class Base:
    """What the servicers share."""

    def __init__(self, state: State) -> None:
        self.state = state

    def answer(
        self, request: Request, context: grpc.ServicerContext, make: Callable[[], Response], request_id: str = ""
    ) -> Response:
        """Note the request, fail when that is due, replay a request id, or answer."""
        with self.state.lock:
            kept = type(request)()
            kept.CopyFrom(request)
            self.state.requests.append(kept)
            due = self.state.failures.get(type(request).__name__.removesuffix("Request"), [])
            failure = due.pop(0) if due else None
            if failure is not None and not failure.is_late:
                refuse(context, failure.code, failure.reason, *failure.details, **failure.metadata)
            stored = self.state.replies.get(request_id)
            response: Response = stored if stored is not None else make()  # type: ignore[assignment]
            if request_id:
                self.state.replies[request_id] = response
            if failure is not None:
                refuse(context, failure.code, failure.reason, *failure.details, **failure.metadata)
            return response

    def resolve(
        self, ref: reference_pb2.ModelVersionRef, context: grpc.ServicerContext
    ) -> model_version_pb2.ModelVersion:
        """The version that a reference names."""
        name = ref.model.name
        if name not in self.state.models:
            refuse(context, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", tenant="default", model=name)
        for version in self.state.versions[name]:
            match ref.WhichOneof("selector"):
                case "version" if version.version == ref.version:
                    return version
                case "alias" if ref.alias in version.aliases:
                    return version
                case "stage" if version.stage == ref.stage:
                    return version
                case "uid" if version.uid == ref.uid:
                    return version
                case _:
                    continue
        selector = str(getattr(ref, ref.WhichOneof("selector") or "version"))
        refuse(context, grpc.StatusCode.NOT_FOUND, "VERSION_NOT_FOUND", model=name, version=selector)
