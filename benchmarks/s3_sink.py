"""An S3 store that takes everything and keeps nothing but names and sizes: `python -m benchmarks.s3_sink PORT`.

A real store would hide the pipe that leads to it: the embedded one writes slower than the registry reads. It speaks as
much S3 as minio and boto3 need to put objects, whole and in parts, and to look at what is there. One thread a connection;
a body is read into the same memory over and over.
"""

from __future__ import annotations

import itertools
import re
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

_BLOCK_BYTES = 1 << 20
_ETAG = '"0123456789abcdef0123456789abcdef"'
_TIME = "2000-01-01T00:00:00.000Z"
_HTTP_TIME = "Sat, 01 Jan 2000 00:00:00 GMT"
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass
class Sink:
    """What was put: sizes in bytes by `bucket/key`, and those of the parts of unfinished uploads."""

    sizes: dict[str, int] = field(default_factory=dict)
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    upload_ids: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Request:
    """A request whose body has been discarded; its size is known."""

    method: str
    path: str
    query: dict[str, str]
    size_bytes: int


@dataclass(frozen=True)
class Reply:
    """A reply; to HEAD, `size_bytes` stands in for a body."""

    status: str = "200 OK"
    body: str = ""
    size_bytes: int | None = None


def answer(sink: Sink, request: Request) -> Reply:
    """Do what a request asks."""
    bucket, _, key = request.path.lstrip("/").partition("/")
    with sink.lock:
        if not key:
            return _of_bucket(sink, bucket, request)
        name = f"{bucket}/{key}"
        match request.method:
            case "PUT":
                return _put(sink, name, request)
            case "POST":
                return _post(sink, name, request)
            case "DELETE":
                sink.parts.pop(request.query.get("uploadId", ""), None)
                return Reply("204 No Content")
            case _ if name in sink.sizes:
                return Reply(size_bytes=sink.sizes[name])
            case _:
                return Reply(
                    "404 Not Found", "" if request.method == "HEAD" else "<Error><Code>NoSuchKey</Code></Error>"
                )


def serve(port: int) -> None:
    """Answer until the process is ended."""
    sink = Sink()
    with socket.create_server(("127.0.0.1", port), backlog=256) as listening:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_converse, args=(sink, connection), daemon=True).start()


def _of_bucket(sink: Sink, bucket: str, request: Request) -> Reply:
    if request.method in {"HEAD", "PUT"}:
        return Reply()
    if "uploads" in request.query:
        return Reply(
            body=f"<ListMultipartUploadsResult {_NAMESPACE}><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
        )
    if "versions" in request.query:
        return Reply(body=f"<ListVersionsResult {_NAMESPACE}><IsTruncated>false</IsTruncated></ListVersionsResult>")
    if "delete" in request.query:
        return Reply(body=f"<DeleteResult {_NAMESPACE}></DeleteResult>")
    prefix = f"{bucket}/{request.query.get('prefix', '')}"
    entries = "".join(
        f"<Contents><Key>{escape(quote(name.partition('/')[2]))}</Key><LastModified>{_TIME}</LastModified>"
        f"<ETag>{escape(_ETAG)}</ETag><Size>{size}</Size></Contents>"
        for name, size in sorted(sink.sizes.items())
        if name.startswith(prefix)
    )
    return Reply(
        body=f"<ListBucketResult {_NAMESPACE}><Name>{bucket}</Name><EncodingType>url</EncodingType>"
        f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    )


def _put(sink: Sink, name: str, request: Request) -> Reply:
    if "partNumber" in request.query:
        sink.parts[request.query["uploadId"]][request.query["partNumber"]] = request.size_bytes
    else:
        sink.sizes[name] = request.size_bytes
    return Reply()


def _post(sink: Sink, name: str, request: Request) -> Reply:
    if "uploads" in request.query:
        upload_id = f"upload-{next(sink.upload_ids)}"
        sink.parts[upload_id] = {}
        return Reply(
            body=f"<InitiateMultipartUploadResult {_NAMESPACE}><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
        )
    sink.sizes[name] = sum(sink.parts[request.query["uploadId"]].values())
    return Reply(
        body=f"<CompleteMultipartUploadResult {_NAMESPACE}><ETag>{escape(_ETAG)}</ETag></CompleteMultipartUploadResult>"
    )


def _converse(sink: Sink, connection: socket.socket) -> None:
    block = memoryview(bytearray(_BLOCK_BYTES))
    with connection:
        while (head := _read_head(connection, block)) is not None:
            text, early_bytes = head
            request = _read_request(connection, block, text, early_bytes)
            reply = answer(sink, request)
            connection.sendall(_encode(reply, request.method))


def _read_head(connection: socket.socket, block: memoryview) -> tuple[str, int] | None:
    """Everything up to the empty line, and how many bytes of the body came with it; None when the peer has gone."""
    received = b""
    while b"\r\n\r\n" not in received:
        try:
            count = connection.recv_into(block, 65536)
        except OSError:
            return None
        if not count:
            return None
        received += bytes(block[:count])
    head, _, early = received.partition(b"\r\n\r\n")
    return head.decode("latin-1"), len(early)


def _read_request(connection: socket.socket, block: memoryview, text: str, early_bytes: int) -> Request:
    line, *rest = text.split("\r\n")
    method, target, _ = line.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
    if "transfer-encoding" in headers or "x-amz-decoded-content-length" in headers:
        raise NotImplementedError("a body in chunks")
    if re.match("100-continue", headers.get("expect", ""), re.IGNORECASE):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    size_bytes = int(headers.get("content-length", "0"))
    left = size_bytes - early_bytes
    while left > 0:
        count = connection.recv_into(block, min(left, _BLOCK_BYTES))
        if not count:
            raise ConnectionError("a body ended early")
        left -= count
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Request(method, unquote(parts.path), query, size_bytes)


def _encode(reply: Reply, method: str) -> bytes:
    body = reply.body.encode()
    length = len(body) if reply.size_bytes is None else reply.size_bytes
    if reply.size_bytes is not None and method != "HEAD":
        # Nothing is kept, so there is nothing to read.
        return b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n"
    head = f"HTTP/1.1 {reply.status}\r\nServer: sink\r\nETag: {_ETAG}\r\nLast-Modified: {_HTTP_TIME}\r\n"
    if not reply.status.startswith("204"):
        head += f"Content-Type: application/xml\r\nContent-Length: {length}\r\n"
    return head.encode() + b"\r\n" + (b"" if method == "HEAD" else body)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
