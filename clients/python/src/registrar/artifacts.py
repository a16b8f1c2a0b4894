"""The part of `Registry` that moves bundles: push, upload, pull, download."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Unpack

from registrar.connection import AnyModelRef, AnyVersionRef, Connection, pages
from registrar.convert.results import artifact_from_proto
from registrar.convert.values import file_from_proto, model_ref_to_proto, version_ref_to_proto
from registrar.download import FileDownload
from registrar.errors import NotFound
from registrar.fields import VersionFields
from registrar.manifest import LocalBundle, manifest_digest, read_bundle
from registrar.progress import Action, Meter, ProgressChoice, display_for
from registrar.reference import ModelRef
from registrar.registration import registration_request
from registrar.types import Artifact, ModelVersion
from registrar.upload import upload_bundle
from registrar.v1.admin_service_pb2 import GetServerInfoRequest
from registrar.v1.artifact_service_pb2 import GetArtifactRequest, ManifestRef
from registrar.values import BundleFile
from registrar.versions import VersionCalls


class ArtifactCalls(VersionCalls):
    """Bundles: push, upload, pull, download."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._bulk_lock = threading.Lock()
        self._bulk: Connection | None = None

    def push(
        self,
        path: str | PathLike[str],
        *,
        name: AnyModelRef,
        progress: ProgressChoice = None,
        request_id: str | None = None,
        **fields: Unpack[VersionFields],
    ) -> ModelVersion:
        """Upload a file or folder and register it as the next version of a model.

            registry.push("./model", name="churn-predictor", metrics={"auc": 0.97}, parameters={"depth": 8})

        What the registry has already is not sent again. Errors: those of `upload` and `register`.
        """
        # Wrong fields are found before the bytes travel, as far as this side can see them.
        registration_request(self._connection.model_ref(name), fields)
        artifact = self.upload(path, name=name, progress=progress)
        return self.register(name, artifact_id=artifact.id, request_id=request_id, **fields)

    def upload(self, path: str | PathLike[str], *, name: AnyModelRef, progress: ProgressChoice = None) -> Artifact:
        """Hash a file or folder and send it as a bundle of a model, unless the model has it.

        A folder's hidden files are part of it, links out of it are refused, empty folders cannot be kept.
        `progress`: a callback; True or False; None shows a bar when stderr is a terminal.
        Errors: InvalidArgument, naming each file that cannot be in a bundle; ResourceExhausted; Unavailable.
        """
        model = self._connection.model_ref(name)
        with Meter(Action.HASH, display_for(progress)) as meter:
            bundle = read_bundle(Path(path), on_total=meter.set_total, on_bytes=meter.add)
        return self._existing(model, bundle) or self._send(model, bundle, progress)

    def _existing(self, model: ModelRef, bundle: LocalBundle) -> Artifact | None:
        manifest = ManifestRef(model=model_ref_to_proto(model), manifest_digest=manifest_digest(bundle.entries))
        request = GetArtifactRequest(manifest=manifest, page_size=1)
        try:
            response = self._connection.unary(self._connection.artifacts.GetArtifact, request)
        except NotFound:  # of the bundle, or of the model: then this push makes it
            return None
        return artifact_from_proto(response.artifact)

    def _send(self, model: ModelRef, bundle: LocalBundle, progress: ProgressChoice) -> Artifact:
        with Meter(Action.PUSH, display_for(progress), bundle.size_bytes) as meter:
            response = upload_bundle(self._transfers(), model, bundle, meter)
        self._connection.sequence.advance(response.event_sequence)
        return artifact_from_proto(response.artifact)

    def artifact(self, ref: AnyVersionRef) -> Artifact:
        """The bundle of a version. Errors: NotFound; FailedPrecondition when its artifact is external."""
        return self._artifact(self.get(ref))

    def _artifact(self, version: ModelVersion) -> Artifact:
        request = GetArtifactRequest(ref=version_ref_to_proto(version.ref), page_size=1)
        return artifact_from_proto(self._connection.unary(self._connection.artifacts.GetArtifact, request).artifact)

    def files(self, ref: AnyVersionRef) -> Iterator[BundleFile]:
        """The files of a version's bundle, by path; pages are fetched as they are consumed."""
        return self._files(self.get(ref))

    def _files(self, version: ModelVersion) -> Iterator[BundleFile]:
        request = GetArtifactRequest(ref=version_ref_to_proto(version.ref))

        def fetch(token: str) -> tuple[list[BundleFile], str]:
            request.page_token = token
            response = self._connection.unary(self._connection.artifacts.GetArtifact, request)
            return [file_from_proto(file) for file in response.files], response.next_page_token

        return pages(fetch)

    def pull(self, ref: AnyVersionRef, destination: str | PathLike[str], *, progress: ProgressChoice = None) -> Path:
        """Fetch a version's files into a new folder, whole and verified or not at all; answers the folder.

        The reference is resolved once, so an alias that moves meanwhile does not mix two versions. The destination must
        not exist, or be an empty folder. Errors: NotFound, AlreadyExists (destination), DataLoss, FailedPrecondition
        when the artifact is external.
        """
        from registrar.pull import check_destination, pull_bundle

        folder = Path(destination)
        check_destination(folder)
        version = self.get(ref)
        artifact = self._artifact(version)
        files = list(self._files(version))
        with Meter(Action.PULL, display_for(progress), artifact.size_bytes) as meter:
            pull_bundle(
                self._transfers(),
                artifact,
                files,
                destination=folder,
                meter=meter,
            )
        return folder

    def download(self, ref: AnyVersionRef, path: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """One file of a version, or `length` bytes of it from `offset`, in blocks of at most 1 MiB.

        Broken connections are resumed. Do not use the bytes before the iteration ends: only then they are verified.
        Errors: NotFound, OutOfRange, DataLoss.
        """
        artifact = self.artifact(ref)
        return iter(FileDownload(self._transfers(), artifact, path, offset=offset, length=length))

    def _transfers(self) -> Connection:
        """Where bytes go: the bulk endpoint that the server announces, or the server itself."""
        with self._bulk_lock:
            if self._bulk is None:
                info = self._connection.unary(self._connection.admin.GetServerInfo, GetServerInfoRequest())
                endpoint = info.bulk_endpoint
                self._bulk = self._connection.to_endpoint(endpoint) if endpoint else self._connection
            return self._bulk

    def close(self) -> None:
        """End every call that runs, and the connections. May be called twice."""
        with self._bulk_lock:
            if self._bulk is not None:
                self._bulk.close()
        self._connection.close()
