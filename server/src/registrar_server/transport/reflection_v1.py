"""grpc.reflection.v1, which new clients ask for first; grpcio-reflection has v1alpha only.

The two differ in the package's name and in nothing else, so v1's descriptor is v1alpha's under the other name, and
grpcio-reflection's servicer answers both: the messages are equal on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1_SERVICE = "grpc.reflection.v1.ServerReflection"
_FILE = "grpc/reflection/v1/reflection.proto"


def add_reflection_v1(service_names: Iterable[str], server: grpc.Server) -> None:
    """Serve `grpc.reflection.v1.ServerReflection` for these services."""
    _add_descriptor()
    servicer: Any = reflection.ReflectionServicer([*service_names, V1_SERVICE])
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1_SERVICE, handlers),))


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
