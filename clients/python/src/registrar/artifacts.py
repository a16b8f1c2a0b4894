"""The part of `Registry` that reads bundles: pull, download, verify."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from registrar.calls import bundles
from registrar.connection import AnyVersionRef, Connection, pages
from registrar.convert.results import urls_from_proto
from registrar.download.carrier import OpenCarrier
from registrar.download.stream import FileDownload, open_stream
from registrar.errors import RegistrarError
from registrar.progress import Action, Meter, ProgressChoice, display_for
from registrar.types import Artifact, DownloadUrl, ModelVersion
from registrar.v1.admin_service_pb2 import GetServerInfoRequest
from registrar.v1.artifact_service_pb2 import CreateDownloadUrlsRequest
from registrar.values import BundleFile
from registrar.verification import FileCallback, verify_artifact
from registrar.versions import VersionCalls

_log = logging.getLogger(__name__)
_BULK_SECONDS = 5.0
"""How long the bulk endpoint has for its first answer."""
URLS_AT_ONCE = 1_000
"""What one call may ask for."""


class ArtifactCalls(VersionCalls):
    """Bundles: what they are, their files on the way here, and whether they still hold."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._bulk_lock = threading.Lock()
        self._bulk: Connection | None = None

    def artifact(self, ref: AnyVersionRef) -> Artifact:
        """The bundle of a version. Errors: NotFound; FailedPrecondition when its artifact is external."""
        return self._artifact(self.get(ref))

    def _artifact(self, version: ModelVersion) -> Artifact:
        return self._connection.run(bundles.artifact_of(self._connection, version))

    def files(self, ref: AnyVersionRef) -> Iterator[BundleFile]:
        """The files of a version's bundle, by path; pages are fetched as they are consumed."""
        return self._files(self.get(ref))

    def _files(self, version: ModelVersion) -> Iterator[BundleFile]:
        return self._connection.iterate(bundles.files_of(self._connection, version))

    def pull(
        self,
        ref: AnyVersionRef,
        destination: str | PathLike[str],
        *,
        direct: bool = False,
        progress: ProgressChoice = None,
    ) -> Path:
        """Fetch a version's files into a new folder, whole and verified or not at all; answers the folder.

        The reference is resolved once, so an alias that moves meanwhile does not mix two versions. The destination must
        not exist, or be an empty folder. A pull that was interrupted, or lost its connection for too long, leaves what has
        come in a hidden folder beside the destination, and the same pull goes on with it. `direct`: straight from the
        store, which must be reachable from here.
        Errors: NotFound; AlreadyExists (destination); DataLoss; ResourceExhausted DISK_FULL; FailedPrecondition when the
        artifact is external; with `direct` Unavailable STORE_UNREACHABLE, PermissionDenied STORE_REFUSED.
        """
        from registrar.download.crew import range_bytes_for
        from registrar.pull import check_destination, pull_bundle

        folder = Path(destination)
        check_destination(folder)
        version = self.get(ref)
        artifact = self._artifact(version)
        files = list(self._files(version))
        with (
            Meter(Action.PULL, display_for(progress), artifact.size_bytes) as meter,
            self._carriers(artifact, files, direct=direct) as open_carrier,
        ):
            pull_bundle(
                open_carrier,
                artifact,
                files,
                destination=folder,
                meter=meter,
                range_bytes=range_bytes_for(direct=direct),
            )
        return folder

    @contextmanager
    def _carriers(self, artifact: Artifact, files: Sequence[BundleFile], *, direct: bool) -> Iterator[OpenCarrier]:
        if not direct:
            connection = self._transfers()
            yield lambda file, offset, length: open_stream(connection, artifact, file, offset, length)
            return
        from registrar.download.direct import DirectSource

        source = DirectSource(self._connection, artifact, files)
        try:
            yield source.open
        finally:
            source.close()

    def download(self, ref: AnyVersionRef, path: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """One file of a version, or `length` bytes of it from `offset`, in blocks of at most 1 MiB.

        Broken connections are resumed. Do not use the bytes before the iteration ends: only then they are verified.
        Errors: NotFound, OutOfRange, DataLoss.
        """
        artifact = self.artifact(ref)
        return map(bytes, FileDownload(self._transfers(), artifact, path, offset=offset, length=length))

    def download_urls(
        self, ref: AnyVersionRef, paths: Iterable[str] | None = None, *, ttl_seconds: int = 900
    ) -> list[DownloadUrl]:
        """URLs to read a version's files straight from the store for a while, of all of them unless `paths` says which.

        Whoever has one can read the file, without further ado, until it expires: at most an hour. The registry keeps a
        record of each call. Errors: NotFound; FailedPrecondition when the artifact is external.
        """
        artifact = self.artifact(ref)
        wanted = None if paths is None else list(dict.fromkeys(paths))
        if wanted == []:
            return []
        request = CreateDownloadUrlsRequest(
            artifact_id=artifact.id, tenant=artifact.tenant, ttl=Duration(seconds=ttl_seconds)
        )
        urls: list[DownloadUrl] = []
        for start in range(0, len(wanted or ()), URLS_AT_ONCE) if wanted else (0,):
            request.paths[:] = wanted[start : start + URLS_AT_ONCE] if wanted else ()
            urls += pages(lambda token: self._urls_page(request, token))
        return sorted(urls, key=lambda entry: entry.file.path.encode())

    def _urls_page(self, request: CreateDownloadUrlsRequest, token: str) -> tuple[list[DownloadUrl], str]:
        request.page_token = token
        response = self._connection.unary(self._connection.artifacts.CreateDownloadUrls, request)
        return urls_from_proto(response), response.next_page_token

    def verify(
        self, ref: AnyVersionRef, *, on_file: FileCallback | None = None, progress: ProgressChoice = None
    ) -> Artifact:
        """Have the registry read every stored byte of a version again; the bundle, with its new `verify_time`.

        `on_file` hears of each file, intact or not, at the end. Errors: DataLoss, whose `violations` name every file that is
        not what was pushed; NotFound; FailedPrecondition when the artifact is external.
        """
        artifact = self.artifact(ref)
        with Meter(Action.VERIFY, display_for(progress), artifact.size_bytes) as meter:
            return verify_artifact(self._transfers(), artifact, meter=meter, on_file=on_file)

    def _transfers(self) -> Connection:
        """Where bytes go: the bulk endpoint that the server announces, or the server itself."""
        with self._bulk_lock:
            if self._bulk is None:
                self._bulk = self._to_bulk_endpoint() or self._connection
            return self._bulk

    def _to_bulk_endpoint(self) -> Connection | None:
        """None when there is none, or when it cannot be used: the server itself takes transfers, too."""
        info = self._connection.unary(self._connection.admin.GetServerInfo, GetServerInfoRequest())
        if not info.bulk_endpoint:
            return None
        bulk: Connection | None = None
        try:
            bulk = self._connection.to_endpoint(info.bulk_endpoint)
            there = bulk.unary(bulk.admin.GetServerInfo, GetServerInfoRequest(), timeout_seconds=_BULK_SECONDS)
        except RegistrarError as exc:
            problem = str(exc)
        else:
            if there.artifact_root == info.artifact_root:
                return bulk
            problem = "another registry answers there"
        if bulk is not None:
            bulk.close()
        _log.warning(
            "transfers go to %s, because its bulk endpoint cannot be used: %s: %s",
            self._connection.target,
            info.bulk_endpoint,
            problem,
        )
        return None

    def close(self) -> None:
        """End every call that runs, and the connections. May be called twice."""
        # First, for it ends the call of whoever holds the lock to ask for the bulk endpoint.
        self._connection.close()
        with self._bulk_lock:
            if self._bulk is not None:
                self._bulk.close()
