"""The API as a caller without our SDK has it: generated stubs, and refusals taken apart."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from registrar.v1 import artifact_pb2, artifact_service_pb2, lifecycle_service_pb2, model_version_service_pb2
from registrar.v1.admin_service_pb2_grpc import AdminServiceStub
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from registrar.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from registrar.v1.model_card_service_pb2_grpc import ModelCardServiceStub
from registrar.v1.model_service_pb2_grpc import ModelServiceStub
from registrar.v1.model_version_pb2 import ModelVersion
from registrar.v1.model_version_service_pb2_grpc import ModelVersionServiceStub
from registrar.v1.reference_pb2 import Consistency, ModelRef, ModelVersionRef, Stage

CALL_SECONDS = 60
CODE = grpc.StatusCode


@dataclass(frozen=True)
class Refusal:
    """A refused call: status, reason, and what came with it."""

    code: grpc.StatusCode
    reason: str
    domain: str
    metadata: Mapping[str, str]
    violations: Mapping[str, str]
    """Description by field."""
    preconditions: tuple[str, ...]
    message: str
    trailers: Mapping[str, str | bytes]


class Api:
    """Every stub on one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.models = ModelServiceStub(channel)
        self.versions = ModelVersionServiceStub(channel)
        self.artifacts = ArtifactServiceStub(channel)
        self.lifecycle = LifecycleServiceStub(channel)
        self.cards = ModelCardServiceStub(channel)
        self.admin = AdminServiceStub(channel)

    def upload(self, name: str, files: Mapping[str, bytes], tenant: str = "") -> artifact_pb2.Artifact:
        """A committed bundle."""
        return self.artifacts.UploadArtifact(upload(name, files, tenant), timeout=CALL_SECONDS).artifact

    def register(self, name: str, tenant: str = "", artifact_id: str = "", **fields: Any) -> ModelVersion:
        """A version, of a small bundle unless one is given."""
        artifact_id = artifact_id or self.upload(name, {"model.pkl": secrets.token_bytes(8)}, tenant).id
        request = register(name, artifact_id, tenant, **fields)
        return self.versions.RegisterModelVersion(request, timeout=CALL_SECONDS).model_version

    def get(self, ref: ModelVersionRef) -> ModelVersion:
        """A version as it is now, whichever worker changed it."""
        request = model_version_service_pb2.GetModelVersionRequest(ref=ref, consistency=Consistency(strong=True))
        return self.versions.GetModelVersion(request, timeout=CALL_SECONDS).model_version

    def move(
        self, name: str, version: int, stage: Stage.ValueType, **fields: Any
    ) -> lifecycle_service_pb2.TransitionStageResponse:
        """Move a version to a stage."""
        request = lifecycle_service_pb2.TransitionStageRequest(ref=by_number(name, version), stage=stage, **fields)
        return self.lifecycle.TransitionStage(request, timeout=CALL_SECONDS)

    def roll_back(self, name: str, **fields: Any) -> lifecycle_service_pb2.RollbackResponse:
        """Put the version before back into production."""
        request = lifecycle_service_pb2.RollbackRequest(model=ModelRef(name=name), **fields)
        return self.lifecycle.Rollback(request, timeout=CALL_SECONDS)

    def has_bundle(self, name: str, manifest: artifact_pb2.Manifest, tenant: str = "") -> bool:
        """Whether a bundle with this content is committed; the model need not be there."""
        wanted = artifact_service_pb2.ManifestRef(
            model=ModelRef(name=name, tenant=tenant), manifest_digest=digest_of(manifest)
        )
        request = artifact_service_pb2.GetArtifactRequest(manifest=wanted)
        try:
            self.artifacts.GetArtifact(request, timeout=CALL_SECONDS)
        except grpc.RpcError as exc:
            assert refusal_of(exc).reason in ("ARTIFACT_NOT_FOUND", "MODEL_NOT_FOUND")
            return False
        return True


def refusal(call: Callable[[], object]) -> Refusal:
    """How the call was refused; a failure when it was not."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return refusal_of(caught.value)


def refused(call: Callable[[], object], code: grpc.StatusCode, reason: str) -> Refusal:
    """Assert status, reason and domain of a refusal."""
    found = refusal(call)
    assert (found.code, found.reason, found.domain) == (code, reason, "registrar"), found
    return found


def violated(call: Callable[[], object]) -> Mapping[str, str]:
    """The fields that a call was refused for, with their descriptions."""
    return refused(call, CODE.INVALID_ARGUMENT, "INVALID_FIELD").violations


def refusal_of(error: grpc.RpcError) -> Refusal:
    """A status taken apart."""
    trailers = {entry.key: entry.value for entry in error.trailing_metadata() or ()}
    packed = trailers.get("grpc-status-details-bin", b"")
    assert isinstance(packed, bytes)
    status = status_pb2.Status.FromString(packed)
    info, request, failure = (_unpacked(status, kind) for kind in _KINDS)
    return Refusal(
        code=error.code(),
        reason=info.reason,
        domain=info.domain,
        metadata=dict(info.metadata),
        violations={v.field: v.description for v in request.field_violations},
        preconditions=tuple(v.type for v in failure.violations),
        message=error.details() or "",
        trailers=trailers,
    )


_KINDS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.PreconditionFailure)


def _unpacked(status: status_pb2.Status, kind: type[Message]) -> Any:
    message = kind()
    for detail in status.details:
        if detail.TypeName() == message.DESCRIPTOR.full_name:
            detail.Unpack(message)
    return message


def model_ref(name: str, tenant: str = "") -> ModelRef:
    return ModelRef(tenant=tenant, name=name)


def by_number(name: str, version: int, tenant: str = "") -> ModelVersionRef:
    return ModelVersionRef(model=model_ref(name, tenant), version=version)


def by_stage(name: str, stage: Stage.ValueType, tenant: str = "") -> ModelVersionRef:
    return ModelVersionRef(model=model_ref(name, tenant), stage=stage)


def by_alias(name: str, alias: str) -> ModelVersionRef:
    return ModelVersionRef(model=model_ref(name), alias=alias)


def register(
    name: str, artifact_id: str, tenant: str = "", **fields: Any
) -> model_version_service_pb2.RegisterModelVersionRequest:
    """A registration of a bundle."""
    return model_version_service_pb2.RegisterModelVersionRequest(
        model=model_ref(name, tenant), artifact_id=artifact_id, **fields
    )


def file_of(path: str, data: bytes) -> artifact_pb2.BundleFile:
    """The entry of a manifest for these bytes."""
    return artifact_pb2.BundleFile(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def manifest_of(files: Mapping[str, bytes]) -> artifact_pb2.Manifest:
    return artifact_pb2.Manifest(files=[file_of(path, data) for path, data in files.items()])


def digest_of(manifest: artifact_pb2.Manifest) -> str:
    """The manifest's digest, types guessed."""
    from registrar.manifest import guess_type, manifest_digest
    from registrar.values import BundleFile

    return manifest_digest([BundleFile(f.path, f.size_bytes, f.sha256, guess_type(f.path)) for f in manifest.files])


def header(name: str, manifest: artifact_pb2.Manifest, tenant: str = "") -> artifact_service_pb2.UploadArtifactRequest:
    """The first message of an upload."""
    return artifact_service_pb2.UploadArtifactRequest(
        header=artifact_service_pb2.UploadArtifactHeader(model=model_ref(name, tenant), manifest=manifest)
    )


def chunk(file: int, offset: int, data: bytes, crc32c: int | None = None) -> artifact_service_pb2.UploadArtifactRequest:
    """Any other message of an upload."""
    return artifact_service_pb2.UploadArtifactRequest(
        chunk=artifact_pb2.FileChunk(file=file, offset=offset, data=data, crc32c=crc32c)
    )


def chunks(files: Iterable[bytes], size: int = 1 << 20) -> Iterator[artifact_service_pb2.UploadArtifactRequest]:
    """The chunks of files in their order."""
    for index, data in enumerate(files):
        for offset in range(0, len(data), size):
            yield chunk(index, offset, data[offset : offset + size])


def upload(
    name: str, files: Mapping[str, bytes], tenant: str = ""
) -> Iterator[artifact_service_pb2.UploadArtifactRequest]:
    """A whole, good upload."""
    yield header(name, manifest_of(files), tenant)
    yield from chunks(files.values())
