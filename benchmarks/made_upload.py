"""Files that are made while they are sent, so that no disk and no page cache has a part in what is measured."""

from __future__ import annotations

import hashlib
import http.client
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc

from registrar.v1.artifact_pb2 import BundleFile, FileChunk, Manifest
from registrar.v1.artifact_service_pb2 import UploadArtifactHeader, UploadArtifactRequest
from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from registrar.v1.reference_pb2 import ModelRef

CHUNK_BYTES = 1 << 20
"""What the SDK sends, and the most that the contract allows."""
_TIMEOUT_SECONDS = 1200.0


@dataclass(frozen=True)
class MadeFile:
    """`chunks` times the same 1 MiB of noise."""

    chunk: bytes
    chunks: int
    sha256: str

    @classmethod
    def of_size(cls, size_bytes: int) -> MadeFile:
        """A file that no other call gives; hashed here, so that the time does not count as the upload's."""
        chunk = random.Random(secrets.randbits(64)).randbytes(CHUNK_BYTES)
        count = size_bytes // CHUNK_BYTES
        digest = hashlib.sha256()
        for _ in range(count):
            digest.update(chunk)
        return cls(chunk, count, digest.hexdigest())

    @property
    def size_bytes(self) -> int:
        return self.chunks * CHUNK_BYTES


def push(address: str, files: Sequence[MadeFile], *, model: str) -> float:
    """Upload a bundle of them to a registry, in the messages that the SDK sends; the seconds that it took."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        began = time.perf_counter()
        response = ArtifactServiceStub(channel).UploadArtifact(_requests(files, model), timeout=_TIMEOUT_SECONDS)
        seconds = time.perf_counter() - began
    size_bytes = sum(file.size_bytes for file in files)
    if response.is_existing or response.artifact.size_bytes != size_bytes:
        raise RuntimeError(f"the registry committed {response.artifact.size_bytes} of {size_bytes} bytes")
    return seconds


def put(port: int, file: MadeFile, *, path: str) -> float:
    """Upload it through MLflow's artifact proxy, as MLflow's client does when it does not bypass the server."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    began = time.perf_counter()
    try:
        connection.request(
            "PUT",
            f"/api/2.0/mlflow-artifacts/artifacts/{path}",
            body=(file.chunk for _ in range(file.chunks)),
            headers={"Content-Length": str(file.size_bytes), "Content-Type": "application/octet-stream"},
        )
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"MLflow answered {response.status}: {text[:300]!r}")
    return time.perf_counter() - began


def _requests(files: Sequence[MadeFile], model: str) -> Iterator[UploadArtifactRequest]:
    entries = [
        BundleFile(path=f"model-{index}.safetensors", size_bytes=file.size_bytes, sha256=file.sha256)
        for index, file in enumerate(files)
    ]
    yield UploadArtifactRequest(
        header=UploadArtifactHeader(model=ModelRef(name=model), manifest=Manifest(files=entries))
    )
    for index, file in enumerate(files):
        for number in range(file.chunks):
            chunk = FileChunk(file=index, offset=number * CHUNK_BYTES, data=file.chunk)
            yield UploadArtifactRequest(chunk=chunk)
