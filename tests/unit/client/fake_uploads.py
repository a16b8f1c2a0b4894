"""Upload sessions in the registry of the client's tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import google_crc32c
import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from registrar.convert.values import file_from_proto
from registrar.manifest import manifest_digest
from registrar.v1 import artifact_pb2, artifact_service_pb2, artifact_service_pb2_grpc
from tests.unit.client.fake_state import EPOCH_SECONDS, Base, Bundle, refuse

pb = artifact_service_pb2
AT_ONCE = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=1))


@dataclass
class UploadFile:
    """A file of a session: its parts by number, from 1, and who may write each."""

    index: int
    file: artifact_pb2.BundleFile
    part_size: int
    parts: dict[int, bytes] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    is_verified: bool = False
    copied_by: int = 0
    """Commits after which the store has copied it; until then nothing of it is missing."""

    @property
    def numbers(self) -> range:
        return range(1, max(1, -(-self.file.size_bytes // self.part_size)) + 1)

    def part_range(self, number: int) -> tuple[int, int]:
        offset = (number - 1) * self.part_size
        return offset, min(self.part_size, self.file.size_bytes - offset)

    def missing(self) -> list[artifact_pb2.ByteRange]:
        ranges: list[artifact_pb2.ByteRange] = []
        if self.is_verified or self.copied_by:
            return ranges
        for number in self.numbers:
            if number in self.parts:
                continue
            offset, length = self.part_range(number)
            if ranges and ranges[-1].offset + ranges[-1].length == offset:
                ranges[-1].length += length
            else:
                ranges.append(artifact_pb2.ByteRange(offset=offset, length=length))
        return ranges

    def numbers_of(self, wanted: artifact_pb2.ByteRange | None) -> range | None:
        """The parts of a range; None when it does not consist of missing ones."""
        if wanted is None:
            numbers = self.numbers
        else:
            end = wanted.offset + wanted.length
            if wanted.offset % self.part_size or (end % self.part_size and end != self.file.size_bytes):
                return None
            numbers = range(wanted.offset // self.part_size + 1, max(1, -(-end // self.part_size)) + 1)
        is_missing = not self.is_verified and not self.copied_by and not set(numbers) & set(self.parts)
        return numbers if is_missing else None

    def content(self) -> bytes:
        return b"".join(self.parts[number] for number in self.numbers)

    def reset(self) -> None:
        self.parts.clear()
        self.is_verified = False


@dataclass
class Session:
    """A bundle on its way."""

    id: str
    request: pb.CreateUploadRequest
    files: list[UploadFile]

    @property
    def received_bytes(self) -> int:
        return sum(len(part) for file in self.files for part in file.parts.values())

    @property
    def size_bytes(self) -> int:
        return sum(file.file.size_bytes for file in self.files)


@dataclass
class Fault:
    """Ends one WriteUpload stream when it has received so many bytes of data: by a status, or as `act` does."""

    after_bytes: int
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    reason: str = ""
    act: Callable[[], None] | None = None


class Uploads(Base, artifact_service_pb2_grpc.ArtifactServiceServicer):
    def CreateUpload(self, request: pb.CreateUploadRequest, context: grpc.ServicerContext) -> pb.CreateUploadResponse:
        return self.answer(request, context, lambda: self._create(request))

    def _create(self, request: pb.CreateUploadRequest) -> pb.CreateUploadResponse:
        state = self.state
        digest = manifest_digest(file_from_proto(file) for file in request.manifest.files)
        for bundle in state.bundles.values():
            if (bundle.artifact.model_name, bundle.artifact.manifest_digest) == (request.model.name, digest):
                return pb.CreateUploadResponse(artifact=bundle.artifact)
        session = next((s for s in state.uploads.values() if s.request == request), None)
        if session is None:
            state.upload_count += 1
            kept = pb.CreateUploadRequest()
            kept.CopyFrom(request)
            files = [UploadFile(index, file, state.part_bytes) for index, file in enumerate(kept.manifest.files)]
            for file in files:
                file.copied_by = state.copied_paths.get(file.file.path, 0)
            session = Session(f"{state.upload_count:032x}", kept, files)
            state.uploads[session.id] = session
        return pb.CreateUploadResponse(upload=self._upload(session), files=self._states(session))

    def UploadArtifact(
        self, request_iterator: Iterator[pb.UploadArtifactRequest], context: grpc.ServicerContext
    ) -> pb.UploadArtifactResponse:
        """The client does not use it."""
        refuse(context, grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_IMPLEMENTED")

    def GetUpload(self, request: pb.GetUploadRequest, context: grpc.ServicerContext) -> pb.GetUploadResponse:
        def tell() -> pb.GetUploadResponse:
            if request.upload_id in self.state.bundles:
                return pb.GetUploadResponse(artifact=self.state.bundles[request.upload_id].artifact)
            session = self._session(request.upload_id, context)
            return pb.GetUploadResponse(upload=self._upload(session), files=self._states(session))

        return self.answer(request, context, tell)

    def WriteUpload(
        self, request_iterator: Iterator[pb.WriteUploadRequest], context: grpc.ServicerContext
    ) -> pb.WriteUploadResponse:
        state = self.state
        header = next(request_iterator).header
        with state.lock:
            state.requests.append(pb.WriteUploadRequest(header=header))
            due = state.failures.get("WriteUpload", [])
            failure = due.pop(0) if due else None
            if failure is not None:
                refuse(context, failure.code, failure.reason, *failure.details)
            if state.writers >= state.slots:
                state.refused_writers += 1
                refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "NO_TRANSFER_SLOT", AT_ONCE)
            state.writers += 1
            state.most_writers = max(state.most_writers, state.writers)
        try:
            return self._write(header, request_iterator, context)
        finally:
            with state.lock:
                state.writers -= 1

    def _write(
        self,
        header: pb.WriteUploadHeader,
        messages: Iterator[pb.WriteUploadRequest],
        context: grpc.ServicerContext,
    ) -> pb.WriteUploadResponse:
        state = self.state
        with state.lock:
            session = self._session(header.upload_id, context)
            epoch, claimed = self._claim(session, list(header.ranges), context)
        received = 0
        chunks = iter(messages)
        for file, number in claimed:
            length = file.part_range(number)[1]
            data = b""
            chunk = artifact_pb2.FileChunk()
            while len(data) < length:
                chunk = self._chunk(next(chunks, None), context)
                if (chunk.file, chunk.offset) != (file.index, file.part_range(number)[0] + len(data)):
                    state.errors.append("OFFSET_MISMATCH")
                    refuse(context, grpc.StatusCode.OUT_OF_RANGE, "OFFSET_MISMATCH")
                data += chunk.data
                received += len(chunk.data)
                self._meet_fault(received, context)
            # A chunk may end in a later part: what is over begins that.
            self._keep(session, file, number, data[:length], epoch, context)
            if len(data) > length:
                chunks = _again(chunk, len(data) - length, chunks)
        for file in {id(file): file for file, _ in claimed}.values():
            self._verify(file, context)
        return pb.WriteUploadResponse(received_bytes=received)

    def _claim(
        self, session: Session, ranges: list[artifact_pb2.FileRange], context: grpc.ServicerContext
    ) -> tuple[int, list[tuple[UploadFile, int]]]:
        state = self.state
        if not 1 <= len(ranges) <= 1000:
            state.errors.append("STREAM_MALFORMED")
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "STREAM_MALFORMED")
        state.epoch += 1
        claimed: list[tuple[UploadFile, int]] = []
        for wanted in ranges:
            file = session.files[wanted.file]
            numbers = file.numbers_of(wanted.range if wanted.HasField("range") else None)
            if numbers is None:
                state.errors.append("RANGE_NOT_MISSING")
                refuse(context, grpc.StatusCode.OUT_OF_RANGE, "RANGE_NOT_MISSING", path=file.file.path)
            claimed += [(file, number) for number in numbers]
            file.epochs.update(dict.fromkeys(numbers, state.epoch))
        return state.epoch, claimed

    def _chunk(self, message: pb.WriteUploadRequest | None, context: grpc.ServicerContext) -> artifact_pb2.FileChunk:
        if message is None or not message.HasField("chunk") or len(message.chunk.data) > 1 << 20:
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "STREAM_MALFORMED")
        self.state.unchecked_chunks += not message.chunk.HasField("crc32c")
        if message.chunk.HasField("crc32c") and message.chunk.crc32c != google_crc32c.value(message.chunk.data):
            refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "CHUNK_CORRUPT")
        return message.chunk

    def _meet_fault(self, received: int, context: grpc.ServicerContext) -> None:
        with self.state.lock:
            fault = next((f for f in self.state.faults if received >= f.after_bytes), None)
            if fault is None:
                return
            self.state.faults.remove(fault)
        if fault.act is not None:
            fault.act()
        else:
            refuse(context, fault.code, fault.reason)

    def _keep(
        self, session: Session, file: UploadFile, number: int, data: bytes, epoch: int, context: grpc.ServicerContext
    ) -> None:
        with self.state.lock:
            self._session(session.id, context)
            if file.epochs[number] != epoch:
                refuse(context, grpc.StatusCode.ABORTED, "WRITER_REPLACED", path=file.file.path)
            file.parts[number] = data

    def _verify(self, file: UploadFile, context: grpc.ServicerContext) -> None:
        with self.state.lock:
            if file.missing():
                return
            is_damaged = self.state.damaged_files > 0
            self.state.damaged_files -= is_damaged
            if is_damaged or hashlib.sha256(file.content()).hexdigest() != file.file.sha256:
                file.reset()
                refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "DIGEST_MISMATCH", path=file.file.path)

    def CommitUpload(self, request: pb.CommitUploadRequest, context: grpc.ServicerContext) -> pb.CommitUploadResponse:
        return self.answer(request, context, lambda: self._commit(request.upload_id, context))

    def _commit(self, upload_id: str, context: grpc.ServicerContext) -> pb.CommitUploadResponse:
        state = self.state
        if upload_id in state.bundles:
            return pb.CommitUploadResponse(artifact=state.bundles[upload_id].artifact, is_existing=True)
        session = self._session(upload_id, context)
        if state.pending_files:
            refuse(
                context, grpc.StatusCode.UNAVAILABLE, "UPLOAD_PENDING", AT_ONCE, files=str(state.pending_files.pop(0))
            )
        for file in session.files:
            if file.copied_by and state.is_copying_broken:
                file.copied_by = 0
        if any(file.missing() for file in session.files):
            refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")
        for file in session.files:
            if not file.copied_by:
                self._verify(file, context)
        manifest = session.request.manifest
        artifact = artifact_pb2.Artifact(
            id=upload_id,
            tenant="default",
            model_name=session.request.model.name,
            manifest_digest=manifest_digest(file_from_proto(file) for file in manifest.files),
            uri=f"s3://bundles/{upload_id}",
            size_bytes=session.size_bytes,
            file_count=len(session.files),
            created_by="local",
        )
        contents = {f.file.path: (f.file, b"" if f.copied_by else f.content()) for f in session.files}
        state.bundles[upload_id] = Bundle(artifact, contents)
        del state.uploads[upload_id]
        return pb.CommitUploadResponse(artifact=artifact, event_sequence=state.next_sequence())

    def AbortUpload(self, request: pb.AbortUploadRequest, context: grpc.ServicerContext) -> pb.AbortUploadResponse:
        def abort() -> pb.AbortUploadResponse:
            if request.upload_id in self.state.bundles:
                refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_COMMITTED")
            self.state.uploads.pop(request.upload_id, None)
            return pb.AbortUploadResponse()

        return self.answer(request, context, abort)

    def CreatePartUrls(
        self, request: pb.CreatePartUrlsRequest, context: grpc.ServicerContext
    ) -> pb.CreatePartUrlsResponse:
        def give() -> pb.CreatePartUrlsResponse:
            session = self._session(request.upload_id, context)
            epoch, claimed = self._claim(session, list(request.ranges), context)
            if len(claimed) > 1000:
                self.state.errors.append("INVALID_FIELD")
                refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
            urls = []
            for file, number in claimed:
                offset, length = file.part_range(number)
                urls.append(
                    pb.PartUrl(
                        file=file.index,
                        part_number=number,
                        range=artifact_pb2.ByteRange(offset=offset, length=length),
                        url=f"{self.state.store_url}/{session.id}/{file.index}/{number}?X-Amz-Signature=s",
                    )
                )
            return pb.CreatePartUrlsResponse(urls=urls, writer_epoch=epoch)

        return self.answer(request, context, give)

    def RecordParts(self, request: pb.RecordPartsRequest, context: grpc.ServicerContext) -> pb.RecordPartsResponse:
        def record() -> pb.RecordPartsResponse:
            session = self._session(request.upload_id, context)
            for part in request.parts:
                file = session.files[part.file]
                if file.epochs[part.part_number] != request.writer_epoch:
                    refuse(context, grpc.StatusCode.ABORTED, "WRITER_REPLACED", path=file.file.path)
                data = self.state.objects[f"/{session.id}/{part.file}/{part.part_number}"]
                assert part.etag == etag_of(data)
                file.parts[part.part_number] = data
            return pb.RecordPartsResponse()

        return self.answer(request, context, record)

    def _session(self, upload_id: str, context: grpc.ServicerContext) -> Session:
        session = self.state.uploads.get(upload_id)
        if session is None:
            refuse(context, grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND", upload_id=upload_id)
        return session

    def _upload(self, session: Session) -> artifact_pb2.Upload:
        upload = artifact_pb2.Upload(
            id=session.id,
            tenant="default",
            model_name=session.request.model.name,
            size_bytes=session.size_bytes,
            received_bytes=session.received_bytes,
            file_count=len(session.files),
        )
        upload.expire_time.seconds = EPOCH_SECONDS
        return upload

    def _states(self, session: Session) -> list[artifact_pb2.FileUploadState]:
        states = []
        ranges = 0
        for index, file in enumerate(session.files):
            missing = file.missing()[: self.state.most_ranges - ranges]
            ranges += len(missing)
            if missing or file.copied_by:
                states.append(
                    artifact_pb2.FileUploadState(
                        file=index,
                        part_size_bytes=file.part_size,
                        missing=missing,
                        is_copying=bool(file.copied_by),
                    )
                )
        return states


def etag_of(data: bytes) -> str:
    """What the store answers for a part."""
    return f'"{hashlib.md5(data).hexdigest()}"'


def _again(
    chunk: artifact_pb2.FileChunk, size: int, chunks: Iterator[pb.WriteUploadRequest]
) -> Iterator[pb.WriteUploadRequest]:
    """The last bytes of a chunk once more, and then the rest."""
    offset = chunk.offset + len(chunk.data) - size
    yield pb.WriteUploadRequest(chunk=artifact_pb2.FileChunk(file=chunk.file, offset=offset, data=chunk.data[-size:]))
    yield from chunks
