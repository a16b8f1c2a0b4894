"""Stages, bundles and the server itself, in the registry of the client's tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import google_crc32c
import grpc
from google.rpc import error_details_pb2

from registrar.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    artifact_pb2,
    artifact_service_pb2,
    lifecycle_pb2,
    lifecycle_service_pb2,
    model_version_pb2,
    reference_pb2,
)
from tests.unit.client.fake_governance import Governance, check_gates
from tests.unit.client.fake_state import BLOCK_BYTES, EPOCH_SECONDS, Base, refuse
from tests.unit.client.fake_uploads import Uploads


class Lifecycle(Governance):
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
        where = {"model": version.name, "version": str(version.version), "stage": "production"}
        check_gates(self.state, context, break_glass=request.break_glass, **where)
        moved = model_version_pb2.ModelVersion()
        moved.CopyFrom(version)
        moved.stage = request.stage
        response = lifecycle_service_pb2.TransitionStageResponse(
            model_version=moved, displaced=displaced, overridden_gates=self.state.failed_gates
        )
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
            is_break_glass=request.break_glass,
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


class Artifacts(Uploads):
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

    def CreateDownloadUrls(
        self, request: artifact_service_pb2.CreateDownloadUrlsRequest, context: grpc.ServicerContext
    ) -> artifact_service_pb2.CreateDownloadUrlsResponse:
        pb = artifact_service_pb2

        def make() -> pb.CreateDownloadUrlsResponse:
            files = self.state.bundles[request.artifact_id].files
            paths = sorted(request.paths or files, key=str.encode)
            begin = int(request.page_token or 0)
            end = begin + 3  # pages are small, so that there are several
            self.state.epoch += 1
            response = pb.CreateDownloadUrlsResponse(
                urls=[
                    pb.DownloadUrl(
                        file=files[path][0],
                        url=f"{self.state.store_url}/{request.artifact_id}/{path}?epoch={self.state.epoch}",
                    )
                    for path in (paths if request.paths else paths[begin:end])
                ],
                artifact_id=request.artifact_id,
                next_page_token=str(end) if not request.paths and end < len(paths) else "",
            )
            response.expire_time.seconds = EPOCH_SECONDS + request.ttl.seconds
            return response

        return self.answer(request, context, make)

    def VerifyArtifact(
        self, request: artifact_service_pb2.VerifyArtifactRequest, context: grpc.ServicerContext
    ) -> Iterator[artifact_service_pb2.VerifyArtifactResponse]:
        pb = artifact_service_pb2
        state = self.state
        due = state.failures.get("VerifyArtifact", [])
        failure = due.pop(0) if due else None
        bundle = state.bundles[request.artifact_id]
        checked = 0
        for path, (file, data) in reversed(bundle.files.items()):
            checked += len(data)
            progress = pb.VerifyProgress(checked_bytes=checked, total_bytes=bundle.artifact.size_bytes)
            yield pb.VerifyArtifactResponse(progress=progress)
            if failure is not None:
                refuse(context, failure.code, failure.reason)
            stored = data if state.flip_byte_of != path else bytes([data[0] ^ 1]) + data[1:]
            digest = hashlib.sha256(stored).hexdigest()
            yield pb.VerifyArtifactResponse(
                file=pb.VerifiedFile(
                    file=file,
                    is_intact=digest == file.sha256,
                    stored_sha256=digest,
                    stored_size_bytes=len(stored),
                )
            )
        if state.flip_byte_of in bundle.files:
            refuse(context, grpc.StatusCode.DATA_LOSS, "ARTIFACT_CORRUPT", path=state.flip_byte_of)
        yield pb.VerifyArtifactResponse(artifact=bundle.artifact)

    def DownloadFile(
        self, request: artifact_service_pb2.DownloadFileRequest, context: grpc.ServicerContext
    ) -> Iterator[artifact_service_pb2.DownloadFileResponse]:
        state = self.state
        with state.lock:
            if state.downloads >= state.download_slots:
                state.refused_downloads += 1
                refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "NO_TRANSFER_SLOT")
            state.downloads += 1
        try:
            yield from self._download(request, context)
        finally:
            with state.lock:
                state.downloads -= 1

    def _download(
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
            crc32c = google_crc32c.value(block)
            with state.lock:
                if state.damaged_chunks:
                    state.damaged_chunks -= 1
                    block = bytes(len(block))
            yield pb.DownloadFileResponse(chunk=artifact_pb2.FileChunk(offset=offset, crc32c=crc32c, data=block))
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
                artifact_root=state.artifact_root,
            )

        return self.answer(request, context, tell)
