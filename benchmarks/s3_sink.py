"""An S3 store that takes everything and keeps nothing but names and sizes: `python -m benchmarks.s3_sink PORT`.

A real store would hide the pipe that leads to it: the embedded one writes slower than the registry reads. Whoever reads
an object is sent zeros, which is right for who has put zeros. It speaks as
much S3 as minio and boto3 need to put, copy and delete objects, whole and in parts, and to look at what is there. One
thread a connection; a body is read into the same memory over and over.
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
from xml.sax.saxutils import escape, unescape

_BLOCK_BYTES = 1 << 20
_ETAG = '"0123456789abcdef0123456789abcdef"'
_TIME = "2000-01-01T00:00:00.000Z"
_HTTP_TIME = "Sat, 01 Jan 2000 00:00:00 GMT"
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass
class Upload:
    """A multipart upload that is open: where it will lie, and the sizes of its parts in bytes, by their numbers."""

    name: str
    parts: dict[int, int] = field(default_factory=dict)


@dataclass
class Sink:
    """What was put: sizes in bytes by `bucket/key`, and the uploads that are open."""

    sizes: dict[str, int] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    upload_ids: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Request:
    """A request; of its body the size is known, and the text where that is one of S3's documents."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    size_bytes: int
    text: str = ""


@dataclass(frozen=True)
class Reply:
    """A reply; to HEAD and GET of an object, `size_bytes` stands in for a body."""

    status: str = "200 OK"
    body: str = ""
    size_bytes: int | None = None


class RefusedError(Exception):
    """S3's answer to a request that cannot be."""

    def __init__(self, status: str, code: str) -> None:
        super().__init__(code)
        self.reply = Reply(status, f"<Error><Code>{code}</Code></Error>")


def answer(sink: Sink, request: Request) -> Reply:
    """Do what a request asks."""
    bucket, _, key = request.path.lstrip("/").partition("/")
    with sink.lock:
        try:
            return _of_object(sink, f"{bucket}/{key}", request) if key else _of_bucket(sink, bucket, request)
        except RefusedError as exc:
            return exc.reply


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
    prefix = f"{bucket}/{request.query.get('prefix', '')}"
    if "uploads" in request.query:
        return _list_uploads(sink, prefix)
    if "versions" in request.query:
        return Reply(body=f"<ListVersionsResult {_NAMESPACE}><IsTruncated>false</IsTruncated></ListVersionsResult>")
    if "delete" in request.query:
        for key in re.findall("<Key>(.*?)</Key>", request.text):
            sink.sizes.pop(f"{bucket}/{unescape(key)}", None)
        return Reply(body=f"<DeleteResult {_NAMESPACE}></DeleteResult>")
    entries = "".join(
        f"<Contents><Key>{_key_text(name)}</Key><LastModified>{_TIME}</LastModified>"
        f"<ETag>{escape(_ETAG)}</ETag><Size>{size}</Size></Contents>"
        for name, size in sorted(sink.sizes.items())
        if name.startswith(prefix)
    )
    return Reply(
        body=f"<ListBucketResult {_NAMESPACE}><Name>{bucket}</Name><EncodingType>url</EncodingType>"
        f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    )


def _list_uploads(sink: Sink, prefix: str) -> Reply:
    entries = "".join(
        f"<Upload><Key>{_key_text(upload.name)}</Key><UploadId>{upload_id}</UploadId>"
        f"<Initiated>{_TIME}</Initiated></Upload>"
        for upload_id, upload in sorted(sink.uploads.items())
        if upload.name.startswith(prefix)
    )
    return Reply(
        body=f"<ListMultipartUploadsResult {_NAMESPACE}><EncodingType>url</EncodingType>"
        f"<IsTruncated>false</IsTruncated>{entries}</ListMultipartUploadsResult>"
    )


def _key_text(name: str) -> str:
    return escape(quote(name.partition("/")[2]))


def _of_object(sink: Sink, name: str, request: Request) -> Reply:
    match request.method:
        case "PUT":
            return _put(sink, name, request)
        case "POST":
            return _create_upload(sink, name) if "uploads" in request.query else _complete_upload(sink, name, request)
        case "DELETE":
            return _delete(sink, name, request)
        case _:
            return _list_parts(sink, request) if "uploadId" in request.query else _read(sink, name, request)


def _delete(sink: Sink, name: str, request: Request) -> Reply:
    if "uploadId" in request.query:
        _upload_of(sink, request)
        del sink.uploads[request.query["uploadId"]]
    else:
        sink.sizes.pop(name, None)
    return Reply("204 No Content")


def _read(sink: Sink, name: str, request: Request) -> Reply:
    if name not in sink.sizes:
        raise RefusedError("404 Not Found", "NoSuchKey")
    size = sink.sizes[name]
    if found := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
        last = min(int(found[2] or size), size - 1)
        return Reply("206 Partial Content", size_bytes=last - int(found[1]) + 1)
    return Reply(size_bytes=size)


def _put(sink: Sink, name: str, request: Request) -> Reply:
    size, copied = request.size_bytes, ""
    if source := request.headers.get("x-amz-copy-source", ""):
        size = _copied_bytes(sink, unquote(source).lstrip("/"), request)
        copied = f"><ETag>{escape(_ETAG)}</ETag><LastModified>{_TIME}</LastModified></Copy"
    if "partNumber" in request.query:
        _upload_of(sink, request).parts[int(request.query["partNumber"])] = size
        return Reply(body=copied and f"<CopyPartResult {_NAMESPACE}{copied}PartResult>")
    _check_condition(sink, name, request)
    sink.sizes[name] = size
    return Reply(body=copied and f"<CopyObjectResult {_NAMESPACE}{copied}ObjectResult>")


def _copied_bytes(sink: Sink, source: str, request: Request) -> int:
    if source not in sink.sizes:
        raise RefusedError("404 Not Found", "NoSuchKey")
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("x-amz-copy-source-range", ""))
    return int(found[2]) - int(found[1]) + 1 if found else sink.sizes[source]


def _create_upload(sink: Sink, name: str) -> Reply:
    upload_id = f"upload-{next(sink.upload_ids)}"
    sink.uploads[upload_id] = Upload(name)
    return Reply(
        body=f"<InitiateMultipartUploadResult {_NAMESPACE}><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
    )


def _complete_upload(sink: Sink, name: str, request: Request) -> Reply:
    upload = _upload_of(sink, request)
    numbers = [int(number) for number in re.findall(r"<PartNumber>(\d+)</PartNumber>", request.text)]
    if not numbers or any(number not in upload.parts for number in numbers):
        raise RefusedError("400 Bad Request", "InvalidPart")
    _check_condition(sink, name, request)
    sink.sizes[name] = sum(upload.parts[number] for number in numbers)
    del sink.uploads[request.query["uploadId"]]
    return Reply(
        body=f"<CompleteMultipartUploadResult {_NAMESPACE}><ETag>{escape(_ETAG)}</ETag></CompleteMultipartUploadResult>"
    )


def _list_parts(sink: Sink, request: Request) -> Reply:
    entries = "".join(
        f"<Part><PartNumber>{number}</PartNumber><LastModified>{_TIME}</LastModified>"
        f"<ETag>{escape(_ETAG)}</ETag><Size>{size}</Size></Part>"
        for number, size in sorted(_upload_of(sink, request).parts.items())
        if number > int(request.query.get("part-number-marker", "0"))
    )
    return Reply(body=f"<ListPartsResult {_NAMESPACE}><IsTruncated>false</IsTruncated>{entries}</ListPartsResult>")


def _upload_of(sink: Sink, request: Request) -> Upload:
    upload = sink.uploads.get(request.query.get("uploadId", ""))
    if upload is None:
        raise RefusedError("404 Not Found", "NoSuchUpload")
    return upload


def _check_condition(sink: Sink, name: str, request: Request) -> None:
    if request.headers.get("if-none-match") == "*" and name in sink.sizes:
        raise RefusedError("412 Precondition Failed", "PreconditionFailed")


def _converse(sink: Sink, connection: socket.socket) -> None:
    block = memoryview(bytearray(_BLOCK_BYTES))
    with connection:
        while (head := _read_head(connection, block)) is not None:
            request = _read_request(connection, block, *head)
            reply = answer(sink, request)
            connection.sendall(_encode(reply, request.method))
            if request.method == "GET" and reply.size_bytes:
                _send_zeros(connection, reply.size_bytes)


def _read_head(connection: socket.socket, block: memoryview) -> tuple[str, bytes] | None:
    """Everything up to the empty line, and what of the body came with it; None when the peer has gone."""
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
    return head.decode("latin-1"), early


def _read_request(connection: socket.socket, block: memoryview, head: str, early: bytes) -> Request:
    line, *rest = head.split("\r\n")
    method, target, _ = line.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
    if "transfer-encoding" in headers or "x-amz-decoded-content-length" in headers:
        raise NotImplementedError("a body in chunks")
    if re.match("100-continue", headers.get("expect", ""), re.IGNORECASE):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    size_bytes = int(headers.get("content-length", "0"))
    # S3's documents are posted: which parts an object is made of, which objects go.
    kept = bytearray(early) if method == "POST" else None
    left = size_bytes - len(early)
    while left > 0:
        count = connection.recv_into(block, min(left, _BLOCK_BYTES))
        if not count:
            raise ConnectionError("a body ended early")
        left -= count
        if kept is not None:
            kept += block[:count]
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return Request(method, unquote(parts.path), query, headers, size_bytes, bytes(kept or b"").decode())


def _send_zeros(connection: socket.socket, size_bytes: int) -> None:
    block = memoryview(bytes(_BLOCK_BYTES))
    for offset in range(0, size_bytes, _BLOCK_BYTES):
        connection.sendall(block[: size_bytes - offset])


def _encode(reply: Reply, method: str) -> bytes:
    body = reply.body.encode()
    length = len(body) if reply.size_bytes is None else reply.size_bytes
    head = f"HTTP/1.1 {reply.status}\r\nServer: sink\r\nETag: {_ETAG}\r\nLast-Modified: {_HTTP_TIME}\r\n"
    if not reply.status.startswith("204"):
        head += f"Content-Type: application/xml\r\nContent-Length: {length}\r\n"
    return head.encode() + b"\r\n" + (b"" if method == "HEAD" else body)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
