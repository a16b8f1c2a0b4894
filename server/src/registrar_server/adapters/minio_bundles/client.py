"""The S3 requests the bundle store makes. The only module that touches minio's private methods.

minio 7.2.20 offers no public multipart calls, no condition on completing one, and hashes every body a
second time; its private methods do what is needed and are pinned by the contract suite.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, cast
from xml.etree.ElementTree import Element, SubElement, tostring

import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.datatypes import Object, parse_copy_object
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.helpers import md5sum_hash
from minio.time import to_iso8601utc

from registrar_server.adapters.minio_bundles.connection import S3Address, connect, host_of
from registrar_server.adapters.minio_bundles.errors import (
    ABSENT_CODES,
    CONDITION_CODES,
    REFUSED_PART_CODES,
    UPLOAD_GONE_CODE,
    ErrorTranslator,
)
from registrar_server.adapters.minio_bundles.http import Around, HttpLimits, PartBody, make_pool
from registrar_server.application.ports.bundle_store import Completion, StoreUploadGone

_ABSENT_ONLY: Final = {"If-None-Match": "*"}
_ALREADY_OURS: Final = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One entry of a listing; one whose `name` ends with `/` is a folder."""

    name: str
    size_bytes: int
    version_id: str | None


class S3Client:
    """One bucket. Names are whole object names. Thread-safe. Raises `RegistrarError` only."""

    def __init__(
        self,
        address: S3Address,
        limits: HttpLimits,
        translated: ErrorTranslator,
        *,
        connections: int,
        public_endpoint_url: str | None = None,
        around: Around | None = None,
    ) -> None:
        """`public_endpoint_url` is what presigned URLs name; None: the address's own. `around` goes around each request."""
        self._bucket = address.bucket
        self._translated = translated
        self._pool = make_pool(limits, connections=connections, around=around)
        self._minio = connect(address, self._pool)
        self._address = address
        self._public_endpoint_url = public_endpoint_url
        if public_endpoint_url is not None:
            host_of(public_endpoint_url)
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

    def put(
        self, name: str, body: Sequence[memoryview], *, only_if_absent: bool, retain_until: datetime | None = None
    ) -> bool:
        """Write a whole object. False when it exists and `only_if_absent` was asked."""
        headers = dict(_ABSENT_ONLY) if only_if_absent else {}
        if retain_until is not None:
            headers |= _retention(retain_until, body)
        headers["Content-Type"] = "application/octet-stream"
        self._translated.require_room()
        with self._translated("put_object", name):
            return self._unless_present("PUT", name, body=PartBody(body) if body else b"", headers=headers)

    def create_upload(self, name: str) -> str:
        """Begin a multipart upload; returns its id."""
        self._translated.require_room()
        with self._translated("create_upload", name):
            return self._minio._create_multipart_upload(self._bucket, name, {})

    def put_part(self, name: str, upload_id: str, number: int, body: Sequence[memoryview]) -> str:
        """Write part `number` (from 1); returns its etag."""
        self._translated.require_room()
        with self._translated("put_part", name):
            # Typed as bytes, handed to urllib3 as it is.
            data = cast(bytes, PartBody(body))
            try:
                return self._minio._upload_part(self._bucket, name, data, None, upload_id, number)
            except S3Error as exc:
                if exc.code == "NoSuchUpload":
                    raise StoreUploadGone(name) from exc
                raise

    def complete_upload(self, name: str, upload_id: str, etags: Sequence[str], *, only_if_absent: bool) -> Completion:
        """Make the object of exactly the parts with these etags; OCCUPIED only when `only_if_absent` was asked."""
        body = _completion(etags)
        headers = {"Content-Type": "application/xml", "Content-MD5": cast(str, md5sum_hash(body))}
        if only_if_absent:
            headers |= _ABSENT_ONLY
        with self._translated("complete_upload", name):
            try:
                is_done = self._unless_present("POST", name, body=body, headers=headers, query={"uploadId": upload_id})
            except S3Error as exc:
                if exc.code == UPLOAD_GONE_CODE:
                    return Completion.GONE
                if exc.code in REFUSED_PART_CODES:
                    return Completion.REFUSED
                raise
        return Completion.DONE if is_done else Completion.OCCUPIED

    def copy(self, source: str, name: str) -> bool:
        """Have the store copy a whole object, over what is there; at most 5 GiB. False: there is no source."""
        return self._copied("copy_object", source, name) is not None

    def copy_part(self, source: str, name: str, upload_id: str, number: int, *, offset: int, length: int) -> str | None:
        """Have the store copy a range as part `number`; its etag, None when there is no source."""
        return self._copied(
            "copy_part",
            source,
            name,
            headers={"x-amz-copy-source-range": f"bytes={offset}-{offset + length - 1}"},
            query={"partNumber": str(number), "uploadId": upload_id},
        )

    def _copied(
        self,
        operation: str,
        source: str,
        name: str,
        *,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> str | None:
        wanted = CopySource(self._bucket, source).gen_copy_headers() | (headers or {})
        self._translated.require_room()
        with self._translated(operation, name):
            try:
                return parse_copy_object(self._send("PUT", name, headers=wanted, query=query))[0]
            except S3Error as exc:
                if exc.code in ABSENT_CODES:
                    return None
                raise

    def _unless_present(
        self,
        method: str,
        name: str,
        *,
        body: bytes | PartBody,
        headers: dict[str, str],
        query: dict[str, str] | None = None,
    ) -> bool:
        try:
            self._send(method, name, body=body, headers=headers, query=query)
        except S3Error as exc:
            if exc.code in CONDITION_CODES:
                return False
            raise
        return True

    def _send(
        self,
        method: str,
        name: str,
        *,
        headers: dict[str, str],
        query: dict[str, str] | None,
        body: bytes | PartBody | None = None,
    ) -> urllib3.BaseHTTPResponse:
        response = self._minio._execute(
            method,
            self._bucket,
            name,
            body=cast(bytes | None, body),
            headers=cast(dict[str, Any], headers),
            query_params=cast(dict[str, Any], query),
            no_body_trace=True,
        )
        if b"<Error>" in response.data:
            # S3 may answer a completion or a copy with 200 and say in the body that it failed.
            raise S3Error.fromxml(response)
        return response

    def abort_upload(self, name: str, upload_id: str) -> None:
        """Drop a multipart upload; one that is gone is no error."""
        with self._translated("abort_upload", name):
            try:
                self._minio._abort_multipart_upload(self._bucket, name, upload_id)
            except S3Error as exc:
                if exc.code != UPLOAD_GONE_CODE:
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

    def presign(self, method: str, name: str, *, expires_seconds: int, query: dict[str, str] | None = None) -> str:
        """An URL for one HTTP method on an object, from one second to seven days.

        Makes no request once the region is known: it was given, or any request went before.
        """
        with self._translated("presign", name):
            return self._signer.get_presigned_url(
                method,
                self._bucket,
                name,
                expires=timedelta(seconds=expires_seconds),
                extra_query_params=cast(dict[str, Any], query),
            )

    @cached_property
    def _signer(self) -> Minio:
        if self._public_endpoint_url is None:
            return self._minio
        # The host is part of what is signed, so another host needs a client of its own.
        region = self._minio._get_region(self._bucket)
        return connect(replace(self._address, endpoint_url=self._public_endpoint_url, region=region), self._pool)

    def close(self) -> None:
        """Drop idle connections."""
        self._pool.clear()


def _retention(until: datetime, body: Sequence[memoryview]) -> dict[str, str]:
    """What locks an object. S3 takes that with a checksum of the body only."""
    digest = hashlib.md5(usedforsecurity=False)
    for block in body:
        digest.update(block)
    return {
        "x-amz-object-lock-mode": "COMPLIANCE",
        "x-amz-object-lock-retain-until-date": to_iso8601utc(until) or "",
        "Content-MD5": b64encode(digest.digest()).decode(),
    }


def _completion(etags: Sequence[str]) -> bytes:
    root = Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
    for number, etag in enumerate(etags, start=1):
        part = SubElement(root, "Part")
        SubElement(part, "PartNumber").text = str(number)
        SubElement(part, "ETag").text = f'"{etag}"'
    return tostring(root)


def _listed(entry: Object) -> ListedObject:
    return ListedObject(entry.object_name or "", entry.size or 0, entry.version_id)
