"""A gRPC stream with nothing around it: bytes as they are, counted and discarded. What gRPC itself can do here.

`python -m benchmarks.bytes.bare_stream PORT` is its server: synchronous, like the registry's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from benchmarks.bytes.cases import paths_below

_CHUNK_BYTES = 1 << 20
_SERVICE = "benchmark.Bytes"
_UP, _DOWN = f"/{_SERVICE}/Up", f"/{_SERVICE}/Down"
_TIMEOUT_SECONDS = 1800.0


class StreamMover:
    """See `Mover`, but what comes down is discarded too."""

    def __init__(self, address: str) -> None:
        channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._up: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(_UP)
        self._down: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(_DOWN)
        self._size_bytes = 0

    def up(self, folder: Path) -> None:
        paths = paths_below(folder)
        self._size_bytes = sum(path.stat().st_size for path in paths)
        _require(int(self._up(_chunks(paths), timeout=_TIMEOUT_SECONDS)), self._size_bytes)

    def down(self, destination: Path) -> None:
        blocks = self._down(str(self._size_bytes).encode(), timeout=_TIMEOUT_SECONDS)
        _require(sum(map(len, blocks)), self._size_bytes)


def serve(port: int) -> None:
    """Answer until the process is ended."""
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Up": grpc.stream_unary_rpc_method_handler(_count),
        "Down": grpc.unary_stream_rpc_method_handler(_send),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def _chunks(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb", buffering=0) as stream:
            while data := stream.read(_CHUNK_BYTES):
                yield data


def _count(chunks: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    return str(sum(map(len, chunks))).encode()


def _send(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    block, left = os.urandom(_CHUNK_BYTES), int(request)
    while left >= _CHUNK_BYTES:
        yield block
        left -= _CHUNK_BYTES
    if left:
        yield block[:left]


def _require(counted: int, expected: int) -> None:
    if counted != expected:
        raise RuntimeError(f"{counted} of {expected} bytes came")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
