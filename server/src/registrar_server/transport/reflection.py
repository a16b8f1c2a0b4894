"""Server reflection: grpc.reflection.v1, which new clients ask for first, and v1alpha.

grpcio-reflection has v1alpha only. The two differ in the package's name and in nothing else, so v1's descriptor is
v1alpha's under the other name, and grpcio-reflection's servicer answers both: the messages are equal on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

from registrar_server.transport.streams import Slots

V1_SERVICE = "grpc.reflection.v1.ServerReflection"
_FILE = "grpc/reflection/v1/reflection.proto"
_AT_ONCE = 2
"""Callers: each holds a thread for as long as it likes, and needs no credentials for that."""


class _MethodsToo:
    """The default pool, which finds a method's file as well: protobuf's own pool knows symbols down to services."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802  (protobuf's name)
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            file = self._pool.FindFileContainingSymbol(service)
            if method not in file.services_by_name[service.rpartition(".")[2]].methods_by_name:
                raise
            return file


def add_reflection(service_names: Iterable[str], server: grpc.Server) -> None:
    """Let these services, and reflection itself, be listed and described."""
    _add_descriptor()
    names = (*service_names, V1_SERVICE, reflection.SERVICE_NAME)
    pool: Any = _MethodsToo()
    servicer: Any = reflection.ReflectionServicer(names, pool=pool)
    slots = Slots(_AT_ONCE, "reflection")

    def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        with slots.take():
            yield from servicer.ServerReflectionInfo(requests, context)

    handler = grpc.stream_stream_rpc_method_handler(
        answer,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = {"ServerReflectionInfo": handler}
    for service in (V1_SERVICE, reflection.SERVICE_NAME):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _add_descriptor() -> None:
    """Make v1's file known, so that v1 can describe itself."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(_FILE)
    except KeyError:
        renamed = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(renamed)
        _rename(renamed)
        pool.Add(renamed)


def _rename(file: descriptor_pb2.FileDescriptorProto) -> None:
    file.name = _FILE
    file.package = file.package.replace("v1alpha", "v1")
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace("v1alpha", "v1")
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace("v1alpha", "v1")
            method.output_type = method.output_type.replace("v1alpha", "v1")
