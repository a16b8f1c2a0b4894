"""Stages, bundles and the server itself, in the registry of the client's tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import grpc
from google.rpc import error_details_pb2

from registrar.convert.values import file_from_proto
from registrar.manifest import manifest_digest
from registrar.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    artifact_pb2,
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    lifecycle_pb2,
    lifecycle_service_pb2,
    lifecycle_service_pb2_grpc,
    model_version_pb2,
    reference_pb2,
)
from tests.unit.client.fake_state import BLOCK_BYTES, EPOCH_SECONDS, Base, Bundle, refuse


class Lifecycle(Base, lifecycle_service_pb2_grpc.LifecycleServiceServicer):
    def TransitionStage(
        self, request: lifecycle_service_pb2.TransitionStageRequest, context: grpc.ServicerContext
    ) -> lifecycle_service_pb2.TransitionStageResponse:
        return self.answer(request, context, lambda: self._transition(request, context), request.request_id)

    def _transition(
        self, request: lifecycle_service_pb2.TransitionStageRequest, context: grpc.ServicerContext
    ) -> lifecycle_service_pb2.TransitionStageResponse:
        version = self.resolve(request.ref, context)
        single = request.stage in {reference_pb2.STAGE_STAGING, reference_pb2.STAGE_PRODUCTION}
        others = [v for v in self.state.versions[version.name] if v.stage == request.stage and v is not version]
        displaced = others if single else []
        holder = displaced[0].version if displaced else 0
        if request.HasField("expected_holder") and request.expected_holder != holder:
            refuse(context, grpc.StatusCode.ABORTED, "STAGE_HOLDER_CHANGED", stage="production", holder=str(holder))
        moved = model_version_pb2.ModelVersion()
        moved.CopyFrom(version)
        moved.stage = request.stage
        response = lifecycle_service_pb2.TransitionStageResponse(model_version=moved, displaced=displaced)
        if request.validate_only:
            return response
        response.event_sequence = self.state.next_sequence()
        transition = lifecycle_pb2.StageTransition(
            version=version.version,
            from_stage=version.stage,
            to_stage=request.stage,
            kind=lifecycle_pb2.TRANSITION_KIND_REQUESTED,
            actor="local",
            comment=request.comment,
        )
        transition.transition_time.seconds = EPOCH_SECONDS
        self.state.transitions.insert(0, transition)
        version.stage = request.stage
        for other in displaced:
            other.stage = reference_pb2.STAGE_ARCHIVED
        return response

    def Rollback(
        self, request: lifecycle_service_pb2.RollbackRequest, context: grpc.ServicerContext
    ) -> lifecycle_service_pb2.RollbackResponse:
        def change() -> lifecycle_service_pb2.RollbackResponse:
            refuse(
                context,
                grpc.StatusCode.FAILED_PRECONDITION,
                "NO_PREVIOUS_PRODUCTION",
                error_details_pb2.PreconditionFailure(
                    violations=[
                        error_details_pb2.PreconditionFailure.Violation(
                            type="HISTORY", subject=request.model.name, description="was in production only once"
                        )
                    ]
                ),
                model=request.model.name,
            )

        return self.answer(request, context, change, request.request_id)

    def ListTransitions(
        self, request: lifecycle_service_pb2.ListTransitionsRequest, context: grpc.ServicerContext
    ) -> lifecycle_service_pb2.ListTransitionsResponse:
        return self.answer(
            request,
            context,
            lambda: lifecycle_service_pb2.ListTransitionsResponse(transitions=self.state.transitions),
        )


class Artifacts(Base, artifact_service_pb2_grpc.ArtifactServiceServicer):
    def UploadArtifact(
        self,
        request_iterator: Iterator[artifact_service_pb2.UploadArtifactRequest],
        context: grpc.ServicerContext,
    ) -> artifact_service_pb2.UploadArtifactResponse:
        state = self.state
        header = next(request_iterator).header
        received = [bytearray() for _ in header.manifest.files]
        due = state.failures.get("UploadArtifact", [])
        failure = due.pop(0) if due else None
        for message in request_iterator:
            if message.WhichOneof("message") != "chunk":
                refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "STREAM_MALFORMED")
            if failure is not None:
                refuse(context, failure.code, failure.reason, *failure.details)
            if message.chunk.offset != len(received[message.chunk.file]):
                refuse(context, grpc.StatusCode.OUT_OF_RANGE, "OFFSET_MISMATCH")
            received[message.chunk.file] += message.chunk.data
        for file, data in zip(header.manifest.files, received, strict=True):
            if hashlib.sha256(data).hexdigest() != file.sha256:
                refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "DIGEST_MISMATCH", path=file.path)
        with state.lock:
            state.requests.append(artifact_service_pb2.UploadArtifactRequest(header=header))
            digest = manifest_digest(file_from_proto(file) for file in header.manifest.files)
            artifact = artifact_pb2.Artifact(
                id=f"{len(state.bundles) + 1:032x}",
                tenant="default",
                model_name=header.model.name,
                manifest_digest=digest,
                uri=f"s3://bundles/{header.model.name}/{digest.replace(':', '-')}",
                size_bytes=sum(file.size_bytes for file in header.manifest.files),
                file_count=len(received),
                created_by="local",
            )
            state.bundles[artifact.id] = Bundle(
                artifact,
                {f.path: (f, bytes(data)) for f, data in zip(header.manifest.files, received, strict=True)},
            )
            return artifact_service_pb2.UploadArtifactResponse(artifact=artifact, event_sequence=state.next_sequence())

    def GetArtifact(
        self, request: artifact_service_pb2.GetArtifactRequest, context: grpc.ServicerContext
    ) -> artifact_service_pb2.GetArtifactResponse:
        return self.answer(request, context, lambda: self._get(request, context))

    def _get(
        self, request: artifact_service_pb2.GetArtifactRequest, context: grpc.ServicerContext
    ) -> artifact_service_pb2.GetArtifactResponse:
        bundle = None
        match request.WhichOneof("artifact"):
            case "manifest":
                found = (b for b in self.state.bundles.values() if self._is(b.artifact, request.manifest))
                bundle = next(found, None)
            case "ref":
                bundle = self.state.bundles.get(self.resolve(request.ref, context).artifact_id)
            case _:
                bundle = self.state.bundles.get(request.artifact_id)
        if bundle is None:
            refuse(context, grpc.StatusCode.NOT_FOUND, "ARTIFACT_NOT_FOUND")
        files = [bundle.files[path][0] for path in sorted(bundle.files, key=str.encode)]
        begin = int(request.page_token or 0)
        end = begin + (request.page_size or 2)  # pages are small, so that there are several
        return artifact_service_pb2.GetArtifactResponse(
            artifact=bundle.artifact, files=files[begin:end], next_page_token=str(end) if end < len(files) else ""
        )

    @staticmethod
    def _is(artifact: artifact_pb2.Artifact, manifest: artifact_service_pb2.ManifestRef) -> bool:
        return (artifact.model_name, artifact.manifest_digest) == (manifest.model.name, manifest.manifest_digest)

    def DownloadFile(
        self, request: artifact_service_pb2.DownloadFileRequest, context: grpc.ServicerContext
    ) -> Iterator[artifact_service_pb2.DownloadFileResponse]:
        pb = artifact_service_pb2
        state = self.state
        state.requests.append(request)
        bundle = state.bundles[request.artifact_id]
        if request.path not in bundle.files:
            refuse(context, grpc.StatusCode.NOT_FOUND, "ARTIFACT_FILE_NOT_FOUND", path=request.path)
        file, data = bundle.files[request.path]
        begin = request.range.offset
        end = begin + request.range.length if request.range.length else len(data)
        yield pb.DownloadFileResponse(
            header=pb.DownloadFileHeader(
                file=file,
                range=artifact_pb2.ByteRange(offset=begin, length=end - begin),
                artifact_id=request.artifact_id,
            )
        )
        if state.flip_byte_of == request.path:
            data = bytes([data[0] ^ 1]) + data[1:]
        for offset in range(begin, end, BLOCK_BYTES):
            with state.lock:
                if state.break_download_at and offset >= state.break_download_at[0]:
                    state.break_download_at.pop(0)
                    refuse(context, grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
            block = data[offset : min(offset + BLOCK_BYTES, end)]
            yield pb.DownloadFileResponse(chunk=artifact_pb2.FileChunk(offset=offset, data=block))
            if state.hold_downloads is not None:
                state.download_held.set()
                state.hold_downloads.wait()
        if not state.omit_trailer:
            sent = data[begin:end]
            yield pb.DownloadFileResponse(
                trailer=pb.DownloadFileTrailer(sha256=hashlib.sha256(sent).hexdigest(), size_bytes=len(sent))
            )


class Admin(Base, admin_service_pb2_grpc.AdminServiceServicer):
    def GetServerInfo(
        self, request: admin_service_pb2.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> admin_service_pb2.GetServerInfoResponse:
        def tell() -> admin_service_pb2.GetServerInfoResponse:
            state = self.state
            mirrored = state.sequence if state.mirrored_sequence is None else state.mirrored_sequence
            if state.mirrored_sequence is not None:
                state.mirrored_sequence += 1
            return admin_service_pb2.GetServerInfoResponse(
                server_version="0.1.0",
                digest_functions=["sha256"],
                caller=admin_service_pb2.Caller(actor="local", tenant="default", roles=["admin"]),
                mirror=admin_service_pb2.MirrorStatus(event_sequence=state.sequence, mirrored_sequence=mirrored),
                bulk_endpoint=state.bulk_endpoint,
                artifact_root="s3://bundles",
            )

        return self.answer(request, context, tell)
