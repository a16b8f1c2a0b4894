"""ArtifactService with its chunks read and written without copies: `registrar.framing` in place of protobuf.

Callers see ordinary protobuf. A servicer gets a `Chunk` where the generated code gives a message whose `chunk` is set, and
may yield one where the generated code wants such a message; all other messages stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import grpc

from registrar.framing import Chunk, chunk_message, chunk_reader
from registrar.v1 import artifact_service_pb2 as pb
from registrar.v1 import artifact_service_pb2_grpc
from registrar_server.transport.replies import add_service

__all__ = ["Chunk", "add_artifact_service", "download_message", "upload_request", "write_request"]


upload_request = chunk_reader(pb.UploadArtifactRequest.FromString)
"""Reads a message of UploadArtifact's stream."""
write_request = chunk_reader(pb.WriteUploadRequest.FromString)
"""Reads a message of WriteUpload's stream."""


def download_message(message: Chunk | pb.DownloadFileResponse) -> bytes:
    """A message of DownloadFile's stream."""
    return chunk_message(message) if isinstance(message, Chunk) else message.SerializeToString()


def add_artifact_service(servicer: artifact_service_pb2_grpc.ArtifactServiceServicer, server: grpc.Server) -> None:
    """Register the service as the generated code does, but for how messages with chunks are read and written."""
    add_service(artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server, servicer, server, _framed)


_DESERIALIZERS: Mapping[str, Callable[[bytes], object]] = {
    "UploadArtifact": upload_request,
    "WriteUpload": write_request,
}
_SERIALIZERS: Mapping[str, Callable[[Any], bytes]] = {"DownloadFile": download_message}


def _framed(name: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
    framed = handler
    if name in _DESERIALIZERS:
        behaviour = cast(Callable[..., Any], handler.stream_unary)
        framed = grpc.stream_unary_rpc_method_handler(behaviour, _DESERIALIZERS[name], handler.response_serializer)
    if name in _SERIALIZERS:
        behaviour = cast(Callable[..., Any], handler.unary_stream)
        framed = grpc.unary_stream_rpc_method_handler(behaviour, handler.request_deserializer, _SERIALIZERS[name])
    return framed
