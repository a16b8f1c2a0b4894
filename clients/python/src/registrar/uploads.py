"""The part of `Registry` that sends bundles: push, upload, abort_upload."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Unpack

from registrar.artifacts import ArtifactCalls
from registrar.calls import bundles
from registrar.connection import AnyModelRef
from registrar.fields import VersionFields
from registrar.manifest import read_bundle
from registrar.methods import unary
from registrar.progress import Action, Meter, ProgressChoice, display_for
from registrar.registration import registration_request
from registrar.types import Artifact, ModelVersion
from registrar.upload.report import UploadReport


class UploadCalls(ArtifactCalls):
    """Bundles on their way to the registry: push, upload, abort_upload."""

    abort_upload = unary(bundles.abort_upload)

    def push(
        self,
        path: str | PathLike[str],
        *,
        name: AnyModelRef,
        progress: ProgressChoice = None,
        direct: bool = False,
        streams: int | None = None,
        split_bytes: int | None = None,
        report: UploadReport | None = None,
        request_id: str | None = None,
        **fields: Unpack[VersionFields],
    ) -> ModelVersion:
        """Upload a file or folder and register it as the next version of a model.

            registry.push("./model", name="churn-predictor", metrics={"auc": 0.97}, parameters={"depth": 8})

        What the registry has already is not sent again. Errors: those of `upload` and `register`.
        """
        # Wrong fields are found before the bytes travel, as far as this side can see them.
        registration_request(self._connection.model_ref(name), fields)
        artifact = self.upload(
            path,
            name=name,
            progress=progress,
            direct=direct,
            streams=streams,
            split_bytes=split_bytes,
            report=report,
        )
        return self.register(name, artifact_id=artifact.id, request_id=request_id, **fields)

    def upload(
        self,
        path: str | PathLike[str],
        *,
        name: AnyModelRef,
        progress: ProgressChoice = None,
        direct: bool = False,
        streams: int | None = None,
        split_bytes: int | None = None,
        report: UploadReport | None = None,
    ) -> Artifact:
        """Hash a file or folder and send what the registry does not have of it, as a bundle of a model.

        A folder's hidden files are part of it, links out of it are refused, empty folders cannot be kept. What breaks on
        the way is resumed. When it ends without a bundle, by a failure or by Ctrl-C, the registry keeps what it has for a
        day: the same call goes on from there.

        `progress`: a callback; True or False; None shows a bar when stderr is a terminal. `direct` sends the bytes straight
        to the registry's store, from where that can be reached; the registry reads them back then. `streams`: so many at
        once; None: 3, or 4 if direct. `split_bytes`: a file of at least twice that size is split among streams that have
        nothing else to do, which the registry must read back; None: never. `report` is filled in on the way.
        Errors: InvalidArgument: naming each file that cannot be in a bundle, or FILE_CHANGED when one changes meanwhile;
        ResourceExhausted; Unavailable, of which STORE_UNREACHABLE if direct; Unimplemented from a registry that is too old.
        """
        from registrar.upload.engine import upload_bundle
        from registrar.upload.way import way_of

        way = way_of(direct=direct, streams=streams, split_bytes=split_bytes)
        model = self._connection.model_ref(name)
        display = display_for(progress)
        with Meter(Action.HASH, display) as meter:
            bundle = read_bundle(Path(path), on_total=meter.set_total, on_bytes=lambda size: self._hashed(meter, size))
        with Meter(Action.PUSH, display, bundle.size_bytes) as meter:
            uploaded = upload_bundle(
                self._connection,
                self._transfers(),
                model,
                bundle,
                way=way,
                meter=meter,
                report=report if report is not None else UploadReport(),
            )
        self._connection.sequence.advance(uploaded.event_sequence)
        return uploaded.artifact

    def _hashed(self, meter: Meter, size_bytes: int) -> None:
        self._connection.check_open()
        meter.add(size_bytes)
