"""Use cases about bundles: take one in, say what it is. `downloads` gives its files out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from registrar_server.application.authorization import Permit
from registrar_server.application.bundle_writer import BundleWriter
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.application.resolution import find_model, find_version, require_usable
from registrar_server.domain.access import Caller
from registrar_server.domain.bundles import Bundle, BundleFile, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey, VersionRef


@dataclass(frozen=True, slots=True)
class ById:
    """Names a bundle by its id, for a caller with this permit."""

    permit: Permit
    uid: str


@dataclass(frozen=True, slots=True)
class ByContent:
    """Names a bundle of a model by its manifest's digest."""

    model: ModelKey
    manifest_digest: str


BundleRef = ById | ByContent | VersionRef


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a file of an upload; `file` is an index in the manifest."""

    file: int
    offset: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The committed bundle, whether it was there before, and its event (0: nothing changed)."""

    bundle: Bundle
    is_existing: bool
    sequence: int


class Artifacts:
    """Stores and reads bundles."""

    def __init__(self, database: Database, writer: BundleWriter) -> None:
        self._database = database
        self._writer = writer

    def upload(self, caller: Caller, model: ModelKey, manifest: Manifest, chunks: Iterator[Chunk]) -> Uploaded:
        """Store a whole bundle from a stream; nothing is visible before every digest holds.

        Returns without reading the chunks when the model has the bundle already. `chunks` may raise; whatever was
        stored by then is cleared away later, and counts for nothing.
        """
        with self._writer.open(caller, model, manifest) as writing:
            if writing.existing is not None:
                return Uploaded(writing.existing, True, 0)
            expected = _Position(manifest)
            for chunk in chunks:
                for file in expected.advance(chunk):
                    writing.next_file(file)
                writing.write(chunk.data)
            for file in expected.finish():
                writing.next_file(file)
            bundle, sequence = writing.commit()
            return Uploaded(bundle, sequence == 0, sequence)

    def get(self, ref: BundleRef, *, after: str, limit: int) -> tuple[Bundle, Sequence[BundleFile]]:
        """A bundle and its files after a path."""
        with self._database.reading() as transaction:
            bundle = find_bundle(transaction, ref)
            return bundle, transaction.bundles.files(bundle.uid, after=after, limit=limit)


def tenant_of(ref: BundleRef) -> str:
    """The tenant in which a bundle is looked for."""
    return ref.permit.tenant if isinstance(ref, ById) else ref.model.tenant


def find_bundle(transaction: Transaction, ref: BundleRef) -> Bundle:
    """The bundle that a reference names, as far as its permit goes."""
    bundle: Bundle | None
    match ref:
        case ById(permit, uid):
            bundle = transaction.bundles.get(uid)
            if bundle is not None and not permit.admits(bundle.model):
                bundle = None
        case ByContent(model, manifest_digest):
            bundle = transaction.bundles.find(find_model(transaction, model).uid, manifest_digest)
        case VersionRef():
            version = find_version(transaction, ref)
            require_usable(version)
            if not version.artifact.is_bundle:
                raise RegistrarError(
                    Reason.ARTIFACT_UNVERIFIED, f"the files of version {version.number} are not held by this registry"
                )
            bundle = transaction.bundles.get(version.artifact.bundle_uid)
    if bundle is None:
        raise RegistrarError(Reason.ARTIFACT_NOT_FOUND, "there is no such bundle")
    return bundle


class _Position:
    """Where in the manifest an upload stands: chunks come file after file, each in the order of its offsets."""

    def __init__(self, manifest: Manifest) -> None:
        self._files = manifest.files
        self._index = -1
        self._offset = 0

    def advance(self, chunk: Chunk) -> Iterator[BundleFile]:
        """Files to begin before this chunk's data is written, empty ones in between included."""
        if not self._index <= chunk.file < len(self._files) or chunk.file < 0:
            raise RegistrarError(
                Reason.STREAM_MALFORMED,
                f"a chunk of file {chunk.file} after one of file {max(self._index, 0)}; "
                f"the manifest has {len(self._files)} files, sent in its order",
            )
        while self._index < chunk.file:
            yield self._begin_next()
        if chunk.offset != self._offset:
            path = self._files[self._index].path
            raise RegistrarError(
                Reason.OFFSET_MISMATCH,
                f"a chunk of {path} begins at {chunk.offset}, expected {self._offset}",
                metadata={"path": path, "expected_offset": str(self._offset)},
            )
        self._offset += len(chunk.data)

    def finish(self) -> Iterator[BundleFile]:
        """Files that are left when the chunks end: empty, or the stream was too short."""
        while self._index < len(self._files) - 1:
            yield self._begin_next()
        self._require_complete()

    def _begin_next(self) -> BundleFile:
        self._require_complete()
        self._index += 1
        self._offset = 0
        return self._files[self._index]

    def _require_complete(self) -> None:
        if self._index < 0:
            return
        file = self._files[self._index]
        if self._offset < file.size_bytes:
            raise RegistrarError(
                Reason.SIZE_MISMATCH,
                f"{file.path} ended after {self._offset} of {file.size_bytes} bytes",
                metadata={"path": file.path},
            )
