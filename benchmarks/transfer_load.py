"""Streams that keep a server's slots busy: `python -m benchmarks.transfer_load {up|down} ADDRESS STREAMS [ARTIFACT]`.

They go round until standard input ends. Each line there is answered with the bytes that were moved so far. Files are of zeros, made while they are sent, and nothing is kept of what comes: this process stands
in for clients on other machines, so it does as little as it can. Uploads are sessions, as the SDK makes them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import google_crc32c
import grpc

from registrar.framing import Chunk, chunk_message
from registrar.v1 import artifact_service_pb2 as pb
from registrar.v1.artifact_pb2 import BundleFile, FileRange, Manifest
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from registrar.v1.reference_pb2 import ModelRef

CHUNK_BYTES = 1 << 20
UPLOAD_BYTES = 256 * CHUNK_BYTES
DOWNLOAD_BYTES = 512 * CHUNK_BYTES
NICENESS = 10
"""Of clients and store: in earnest they have cores of their own."""

_REFUSED_SECONDS = 0.1
_SERVICE = "/registrar.v1.ArtifactService"
_PATH = "model.safetensors"
_ZEROS = bytes(CHUNK_BYTES)
_CRC32C = google_crc32c.value(_ZEROS)


@dataclass
class Moved:
    """What all streams have done so far."""

    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self.lock:
            self.bytes += count


def file_of_zeros(size_bytes: int) -> BundleFile:
    """A file of whole chunks."""
    digest = hashlib.sha256()
    for _ in range(size_bytes // CHUNK_BYTES):
        digest.update(_ZEROS)
    return BundleFile(path=_PATH, size_bytes=size_bytes, sha256=digest.hexdigest())


def upload(channel: grpc.Channel, model: str, file: BundleFile, moved: Moved) -> str:
    """A session of one file; the bundle's id."""
    stub = ArtifactServiceStub(channel)
    request = pb.CreateUploadRequest(model=ModelRef(name=model), manifest=Manifest(files=[file]))
    opened = stub.CreateUpload(request)
    write: grpc.StreamUnaryMultiCallable[bytes, pb.WriteUploadResponse] = channel.stream_unary(
        f"{_SERVICE}/WriteUpload", response_deserializer=pb.WriteUploadResponse.FromString
    )
    write(_messages(opened.upload.id, file, moved))
    return stub.CommitUpload(pb.CommitUploadRequest(upload_id=opened.upload.id)).artifact.id


def download(channel: grpc.Channel, artifact_id: str, moved: Moved) -> None:
    """The whole of that file."""
    read: grpc.UnaryStreamMultiCallable[pb.DownloadFileRequest, bytes] = channel.unary_stream(
        f"{_SERVICE}/DownloadFile", request_serializer=pb.DownloadFileRequest.SerializeToString
    )
    for message in read(pb.DownloadFileRequest(artifact_id=artifact_id, path=_PATH)):
        moved.add(len(message))


def _messages(upload_id: str, file: BundleFile, moved: Moved) -> Iterator[bytes]:
    header = pb.WriteUploadHeader(upload_id=upload_id, ranges=[FileRange(file=0)])
    yield pb.WriteUploadRequest(header=header).SerializeToString()
    for offset in range(0, file.size_bytes, CHUNK_BYTES):
        yield chunk_message(Chunk(0, offset, _CRC32C, _ZEROS))
        moved.add(CHUNK_BYTES)


def _upload_anew(channel: grpc.Channel, file: BundleFile, moved: Moved) -> str:
    """For a model of its own: what a model has is not sent again."""
    return upload(channel, f"load-{secrets.token_hex(8)}", file, moved)


def _go_round(address: str, move: Callable[[grpc.Channel], object]) -> None:
    with open_channel(address) as channel:
        while True:
            try:
                move(channel)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                time.sleep(_REFUSED_SECONDS)


def open_channel(address: str) -> grpc.Channel:
    """A channel with a connection of its own."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(address, options=options)


def main() -> None:
    """Run until standard input ends."""
    direction, address, streams = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.nice(NICENESS)
    moved = Moved()
    move: Callable[[grpc.Channel], object]
    if direction == "up":
        file = file_of_zeros(UPLOAD_BYTES)
        move = lambda channel: _upload_anew(channel, file, moved)  # noqa: E731
    else:
        artifact_id = sys.argv[4]
        move = lambda channel: download(channel, artifact_id, moved)  # noqa: E731
    for _ in range(streams):
        threading.Thread(target=_go_round, args=(address, move), daemon=True).start()
    for _ in sys.stdin:
        print(moved.bytes, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
