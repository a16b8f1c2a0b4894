"""An upload session, as the registry tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from registrar.convert.results import artifact_from_proto
from registrar.convert.values import file_to_proto, model_ref_to_proto, time_from_proto
from registrar.errors import Code, RegistrarError, Unimplemented
from registrar.manifest import LocalBundle
from registrar.reference import ModelRef
from registrar.types import Artifact
from registrar.upload.line import Line
from registrar.upload.plan import MissingFile, Piece
from registrar.v1.artifact_pb2 import FileUploadState, Manifest
from registrar.v1.artifact_service_pb2 import (
    CommitUploadRequest,
    CommitUploadResponse,
    CreateUploadRequest,
    CreateUploadResponse,
    GetUploadRequest,
    GetUploadResponse,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a session is. With an artifact, the bundle is committed and nothing else counts."""

    upload_id: str = ""
    tenant: str = ""
    size_bytes: int = 0
    received_bytes: int = 0
    """What is durable."""
    expire_time: datetime | None = None
    missing: Mapping[int, MissingFile] = field(default_factory=dict)
    """By index in the manifest, what must be sent."""
    pending: Sequence[int] = ()
    """Files that the store copies or that are read back."""
    artifact: Artifact | None = None

    @property
    def missing_bytes(self) -> int:
        """Sum of what must be sent."""
        return sum(piece.length for file in self.missing.values() for piece in file.pieces)


class UploadSession:
    """The session of one bundle; `open` comes first. Thread-safe after that.

    Calls are made once and raise `grpc.RpcError`, but for `open`.
    """

    def __init__(self, line: Line, model: ModelRef, bundle: LocalBundle) -> None:
        self._line = line
        self._model = model
        self._bundle = bundle
        self.upload_id = ""
        self.tenant = ""

    def open(self) -> Snapshot:
        """Open it, or find the one that is open, or the bundle. Errors: see CreateUpload; Unimplemented."""
        manifest = Manifest(files=[file_to_proto(entry) for entry in self._bundle.entries])
        request = CreateUploadRequest(model=model_ref_to_proto(self._model), manifest=manifest)
        connection = self._line.connection
        try:
            response = connection.unary(connection.artifacts.CreateUpload, request)
        except Unimplemented as exc:
            raise _too_old(connection.target, exc) from exc
        snapshot = self._snapshot(response)
        self.upload_id, self.tenant = snapshot.upload_id, snapshot.tenant
        return snapshot

    def ask(self, timeout_seconds: float | None) -> Snapshot:
        """How far it is. Errors: NotFound UPLOAD_NOT_FOUND."""
        request = GetUploadRequest(upload_id=self.upload_id, tenant=self.tenant)
        return self._snapshot(self._line.connection.artifacts.GetUpload(request, timeout=timeout_seconds))

    def commit(self, timeout_seconds: float | None) -> CommitUploadResponse:
        """Make the bundle visible. Errors: see CommitUpload."""
        request = CommitUploadRequest(upload_id=self.upload_id, tenant=self.tenant)
        return self._line.connection.artifacts.CommitUpload(request, timeout=timeout_seconds)

    def reconnect(self) -> None:
        """Ask over a new connection from now on."""
        self._line.exchange(self._line.connection)

    def _snapshot(self, response: CreateUploadResponse | GetUploadResponse) -> Snapshot:
        if response.HasField("artifact"):
            return Snapshot(artifact=artifact_from_proto(response.artifact))
        upload = response.upload
        return Snapshot(
            upload_id=upload.id,
            tenant=upload.tenant,
            size_bytes=upload.size_bytes,
            received_bytes=upload.received_bytes,
            expire_time=time_from_proto(upload.expire_time) if upload.HasField("expire_time") else None,
            missing={state.file: self._missing(state) for state in response.files if state.missing},
            pending=tuple(state.file for state in response.files if state.is_copying or state.is_verifying),
        )

    def _missing(self, state: FileUploadState) -> MissingFile:
        return MissingFile(
            self._bundle.files[state.file].entry.size_bytes,
            state.part_size_bytes,
            tuple(Piece(state.file, found.offset, found.length) for found in state.missing),
        )


def _too_old(target: str, error: RegistrarError) -> Unimplemented:
    return Unimplemented(
        f"the registry at {target} is older than this client: it has no upload sessions",
        code=Code.UNIMPLEMENTED,
        reason=error.reason or "METHOD_NOT_IMPLEMENTED",
    )
