"""The S3 requests the bundle store makes. The only module that touches minio's private methods.

minio 7.2.20 offers no public multipart calls, no condition on completing one, and hashes every body a
second time; its private methods do what is needed and are pinned by the contract suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import (
    AWSConfigProvider,
    ChainedProvider,
    EnvAWSProvider,
    IamAwsProvider,
    Provider,
)
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.helpers import md5sum_hash

from registrar_server.adapters.minio_bundles.errors import ABSENT_CODES, CONDITION_CODES, ErrorTranslator
from registrar_server.adapters.minio_bundles.http import HttpLimits, PartBody, make_pool

_ABSENT_ONLY: Final = {"If-None-Match": "*"}
_ALREADY_OURS: Final = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_AWS_ENDPOINT: Final = "s3.amazonaws.com"


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where the store is. `endpoint_url` None is AWS; keys None: environment, ~/.aws, then the machine's role."""

    endpoint_url: str | None
    bucket: str
    access_key: str | None
    secret_key: str | None
    region: str | None


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One entry of a listing; one whose `name` ends with `/` is a folder."""

    name: str
    size_bytes: int
    version_id: str | None


class S3Client:
    """One bucket. Names are whole object names. Thread-safe. Raises `RegistrarError` only."""

    def __init__(
        self, address: S3Address, limits: HttpLimits, translated: ErrorTranslator, *, connections: int
    ) -> None:
        self._bucket = address.bucket
        self._translated = translated
        self._pool = make_pool(limits, connections=connections)
        host, is_secure = _host_of(address.endpoint_url)
        self._minio = _UnhashedMinio(
            endpoint=host,
            secure=is_secure,
            region=address.region,
            http_client=self._pool,
            credentials=None if address.access_key else _credential_chain(),
            access_key=address.access_key,
            secret_key=address.secret_key,
        )
        self._server: str | None = None

    @property
    def server(self) -> str:
        """What the store calls itself in its `Server` header. Asked once."""
        if self._server is None:
            with self._translated("check_bucket"):
                self._server = self._minio._execute("HEAD", self._bucket).headers.get("Server", "")
        return self._server

    def ensure_bucket(self) -> None:
        """Make the bucket when there is none, with object lock where the store can."""
        with self._translated("check_bucket"):
            if not self._minio.bucket_exists(self._bucket):
                self._make_bucket()

    def _make_bucket(self) -> None:
        for object_lock in (True, False):
            try:
                self._minio.make_bucket(self._bucket, object_lock=object_lock)
            except S3Error as exc:
                if exc.code in _ALREADY_OURS:
                    return
                if not object_lock or exc.response.status in (401, 403):
                    raise
            else:
                return

    def put(self, name: str, body: memoryview, *, only_if_absent: bool) -> bool:
        """Write a whole object. False when it exists and `only_if_absent` was asked."""
        headers = dict(_ABSENT_ONLY) if only_if_absent else {}
        headers["Content-Type"] = "application/octet-stream"
        self._translated.require_room()
        with self._translated("put_object", name):
            return self._unless_present(
                "PUT", name, body=PartBody(body) if len(body) else b"", headers=headers, query_params=None
            )

    def create_upload(self, name: str) -> str:
        """Begin a multipart upload; returns its id."""
        self._translated.require_room()
        with self._translated("create_upload", name):
            return self._minio._create_multipart_upload(self._bucket, name, {})

    def put_part(self, name: str, upload_id: str, number: int, body: memoryview) -> str:
        """Write part `number` (from 1); returns its etag."""
        self._translated.require_room()
        with self._translated("put_part", name):
            # Typed as bytes, handed to urllib3 as it is.
            data = cast(bytes, PartBody(body))
            return self._minio._upload_part(self._bucket, name, data, None, upload_id, number)

    def complete_upload(self, name: str, upload_id: str, etags: Sequence[str], *, only_if_absent: bool) -> bool:
        """Make the object of all parts. False when it exists and `only_if_absent` was asked."""
        body = _completion(etags)
        headers = {"Content-Type": "application/xml", "Content-MD5": cast(str, md5sum_hash(body))}
        if only_if_absent:
            headers |= _ABSENT_ONLY
        with self._translated("complete_upload", name):
            return self._unless_present("POST", name, body=body, headers=headers, query_params={"uploadId": upload_id})

    def _unless_present(
        self,
        method: str,
        name: str,
        *,
        body: bytes | PartBody,
        headers: dict[str, str],
        query_params: dict[str, str] | None,
    ) -> bool:
        try:
            response = self._minio._execute(
                method,
                self._bucket,
                name,
                body=cast(bytes, body),
                headers=cast(dict[str, Any], headers),
                query_params=cast(dict[str, Any], query_params),
                no_body_trace=True,
            )
        except S3Error as exc:
            if exc.code in CONDITION_CODES:
                return False
            raise
        if b"<Error>" in response.data:
            # S3 may answer a completion with 200 and say in the body that it failed.
            raise S3Error.fromxml(response)
        return True

    def abort_upload(self, name: str, upload_id: str) -> None:
        """Drop a multipart upload; one that is gone is no error."""
        with self._translated("abort_upload", name):
            try:
                self._minio._abort_multipart_upload(self._bucket, name, upload_id)
            except S3Error as exc:
                if exc.code != "NoSuchUpload":
                    raise

    def list_uploads(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Name and id of unfinished multipart uploads under `prefix`, in pages of 1,000 names."""
        # MinIO takes the prefix of this one call for a whole object name.
        asked = "" if self.server.startswith("MinIO") else prefix
        marker: str | None = None
        while True:
            with self._translated("list_uploads", prefix):
                page = self._minio._list_multipart_uploads(self._bucket, prefix=asked, key_marker=marker)
            for upload in page.uploads:
                if upload.object_name.startswith(prefix) and upload.upload_id:
                    yield upload.object_name, upload.upload_id
            marker = page.next_key_marker
            if not page.is_truncated or not marker:
                return

    def size_of(self, name: str) -> int | None:
        """Size in bytes, None when there is no such object."""
        with self._translated("stat_object", name):
            try:
                return self._minio.stat_object(self._bucket, name).size or 0
            except S3Error as exc:
                if exc.code in ABSENT_CODES:
                    return None
                raise

    def get(self, name: str, offset: int, length: int, *, etag: str | None) -> urllib3.BaseHTTPResponse:
        """Open a ranged read, of the write with that etag only; raises what minio raises, for the reader to judge."""
        headers: dict[str, Any] = {} if etag is None else {"If-Match": etag}
        return self._minio.get_object(self._bucket, name, offset=offset, length=length, request_headers=headers)

    def list_objects(self, prefix: str, *, by_level: bool = False, versions: bool = False) -> Iterator[ListedObject]:
        """Objects under `prefix` in the store's order; `by_level` stops at folders."""
        listing = self._minio.list_objects(
            self._bucket, prefix=prefix, recursive=not by_level, include_version=versions
        )
        while True:
            with self._translated("list_objects", prefix):
                entry = next(listing, None)
            if entry is None:
                return
            yield _listed(entry)

    def delete(self, objects: Sequence[ListedObject]) -> None:
        """Delete at most 1,000 objects or versions."""
        wanted = [DeleteObject(o.name, o.version_id) for o in objects]
        with self._translated("delete_objects", objects[0].name if objects else ""):
            for error in self._minio.remove_objects(self._bucket, wanted):
                raise ValueError(f"not deleted: {error.code}")

    def close(self) -> None:
        """Drop idle connections."""
        self._pool.clear()


class _UnhashedMinio(Minio):
    """minio, but a `PartBody` is sent as UNSIGNED-PAYLOAD: its sha256 was taken as it arrived."""

    def _build_headers(
        self,
        host: str,
        headers: Any = None,
        body: Any = None,
        creds: Credentials | None = None,
    ) -> tuple[dict[str, str | list[str] | tuple[str]], datetime]:
        if not isinstance(body, PartBody):
            return super()._build_headers(host, headers, body, creds)
        built, date = super()._build_headers(host, headers, None, creds)
        built["Content-Length"] = str(len(body))
        if creds:
            built["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        return built, date


def _completion(etags: Sequence[str]) -> bytes:
    root = Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    for number, etag in enumerate(etags, start=1):
        part = SubElement(root, "Part")
        SubElement(part, "PartNumber").text = str(number)
        SubElement(part, "ETag").text = f'"{etag}"'
    return tostring(root)


def _listed(entry: Object) -> ListedObject:
    return ListedObject(entry.object_name or "", entry.size or 0, entry.version_id)


def _host_of(endpoint_url: str | None) -> tuple[str, bool]:
    if endpoint_url is None:
        return _AWS_ENDPOINT, True
    parts = urlsplit(endpoint_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("endpoint_url must be http(s)://host[:port]")
    return parts.netloc, parts.scheme == "https"


def _credential_chain() -> Provider:
    # Off the cloud nothing answers at the metadata address, and minio's own pool would wait without end.
    metadata = urllib3.PoolManager(timeout=urllib3.Timeout(connect=1, read=5), retries=urllib3.Retry(total=1))
    return ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), IamAwsProvider(http_client=metadata)])
