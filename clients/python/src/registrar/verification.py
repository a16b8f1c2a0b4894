"""The registry reads a bundle's stored bytes again; what it says about them."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from registrar.connection import Connection
from registrar.convert.results import artifact_from_proto, verified_file_from_proto
from registrar.errors import DataLoss, Internal, Violation
from registrar.progress import Meter
from registrar.retry import Patience
from registrar.rpc_errors import error_from_rpc
from registrar.types import Artifact, VerifiedFile
from registrar.v1.artifact_service_pb2 import VerifyArtifactRequest

FileCallback = Callable[[VerifiedFile], None]
"""Called for every file, in the order in which they are done."""


def verify_artifact(
    connection: Connection, artifact: Artifact, *, meter: Meter, on_file: FileCallback | None
) -> Artifact:
    """Have every file of a bundle verified; the bundle, with its new `verify_time`.

    Begins again from the start when the connection breaks. Errors: DataLoss, whose `violations` name each file that does
    not hold; those of VerifyArtifact.
    """
    patience = Patience(connection.timeout_seconds, sleep=connection.pause)
    return connection.attempts(lambda: _Attempt(connection, artifact, meter, patience).run(on_file), patience)


class _Attempt:
    """One stream."""

    def __init__(self, connection: Connection, artifact: Artifact, meter: Meter, patience: Patience) -> None:
        self._connection = connection
        self._artifact = artifact
        self._meter = meter
        self._patience = patience
        self._files: list[VerifiedFile] = []

    def run(self, on_file: FileCallback | None) -> Artifact:
        request = VerifyArtifactRequest(artifact_id=self._artifact.id, tenant=self._artifact.tenant)
        verified: Artifact | None = None
        call = self._connection.artifacts.VerifyArtifact(request)
        try:
            for message in call:
                self._patience.renew()
                match message.WhichOneof("message"):
                    case "progress":
                        self._meter.set_done(message.progress.checked_bytes)
                    case "file":
                        self._files.append(verified_file_from_proto(message.file))
                    case "artifact":
                        verified = artifact_from_proto(message.artifact)
                    case None:  # of a later contract
                        continue
        except grpc.RpcError as exc:
            raise self._explained(exc, on_file) from exc
        finally:
            call.cancel()
        if verified is None:
            raise Internal("the verification ended without an outcome", reason="STREAM_CUT")
        self._tell(on_file)
        self._meter.set_done(self._artifact.size_bytes)
        return verified

    def _explained(self, exc: grpc.RpcError, on_file: FileCallback | None) -> Exception:
        error = error_from_rpc(exc)
        broken = [file for file in self._files if not file.is_intact]
        if not isinstance(error, DataLoss) or not broken:
            return error
        self._tell(on_file)
        return DataLoss(
            f"{len(broken)} of {len(self._files)} files of the bundle are not what was pushed",
            reason=error.reason,
            metadata=error.metadata,
            violations=[Violation(file.file.path, _difference(file)) for file in broken],
        )

    def _tell(self, on_file: FileCallback | None) -> None:
        if on_file is not None:
            for file in sorted(self._files, key=lambda file: file.file.path.encode()):
                on_file(file)


def _difference(found: VerifiedFile) -> str:
    if not found.stored_sha256:
        return f"is gone, or cannot be read; it had {found.file.size_bytes} bytes, sha256 {found.file.sha256}"
    return (
        f"expected {found.file.size_bytes} bytes, sha256 {found.file.sha256}; "
        f"stored are {found.stored_size_bytes} bytes, sha256 {found.stored_sha256}"
    )
