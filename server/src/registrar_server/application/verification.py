"""Read stored bytes again and see whether they are still what was pushed."""

from __future__ import annotations

from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database
from registrar_server.application.resolution import require_usable
from registrar_server.domain.bundles import Bundle, BundleFile
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.versions import ModelVersion

_PAGE = 1_000


class Verification:
    """Re-hashes bundles."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def verify(self, version: ModelVersion) -> None:
        """Hash every stored file of a version; ARTIFACT_CORRUPT names the first that does not hold.

        Memory is bounded; the time is that of reading the bundle. Success is recorded on the bundle.
        """
        require_usable(version)
        if not version.artifact.is_bundle:
            raise RegistrarError(
                Reason.ARTIFACT_UNVERIFIED, f"the files of version {version.number} are not held by this registry"
            )
        with self._database.reading() as transaction:
            bundle = transaction.bundles.get(version.artifact.bundle_uid)
        if bundle is None:
            raise RegistrarError(Reason.ARTIFACT_NOT_FOUND, "the bundle of the version is gone")
        self._verify_files(bundle)
        with self._database.writing() as transaction:
            transaction.bundles.set_verified(bundle.uid, self._clock.now())

    def _verify_files(self, bundle: Bundle) -> None:
        after = ""
        while True:
            with self._database.reading() as transaction:
                files = transaction.bundles.files(bundle.uid, after=after, limit=_PAGE)
            for file in files:
                self._verify_file(bundle, file)
            if len(files) < _PAGE:
                return
            after = files[-1].path

    def _verify_file(self, bundle: Bundle, file: BundleFile) -> None:
        try:
            found = self._store.hash_object(f"{bundle.prefix}/{file.path}")
        except RegistrarError as exc:
            if exc.reason is Reason.ARTIFACT_FILE_NOT_FOUND:
                raise corrupt(file.path) from exc
            raise
        if found != (file.size_bytes, file.sha256):
            raise corrupt(file.path)


def corrupt(path: str) -> RegistrarError:
    """The stored bytes of a file are not those that were verified."""
    return RegistrarError(
        Reason.ARTIFACT_CORRUPT,
        f"the stored bytes of {path} are not what was pushed",
        metadata={"path": path},
    )
