"""Write a bundle to the store and commit it: claimed first, recorded last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from registrar_server.application.ports.bundle_store import BundleStore, BundleTransfer
from registrar_server.application.ports.clock import Clock, new_uid
from registrar_server.application.ports.database import BundleClaim, Change, Database, NewModel
from registrar_server.application.resolution import model_not_found, require_tenant
from registrar_server.domain.bundles import Bundle, BundleFile, Manifest, bundle_prefix
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import Caller, ModelKey

CLAIM_SECONDS = 300
"""How long an upload that gives no sign of life keeps its objects from being cleared away."""

_EMPTY = BundleClaim("", "")


class BundleWriter:
    """Opens bundles for writing."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    @contextmanager
    def open(self, caller: Caller, model: ModelKey, manifest: Manifest) -> Iterator[WritingBundle]:
        """Claim a bundle for writing; on any error what was begun is aborted and the claim left to run out."""
        writing = self._claim(caller, model, manifest)
        try:
            yield writing
        except BaseException:
            writing.abort()
            raise

    def _claim(self, caller: Caller, model: ModelKey, manifest: Manifest) -> WritingBundle:
        with self._database.writing() as transaction:
            require_tenant(transaction, model.tenant)
            now = self._clock.now()
            new = NewModel(new_uid(), model, "", {}, {}, caller.actor, now)
            transaction.models.insert(new, is_reserved=True)
            locked = transaction.models.lock_reserved(model)
            if locked is None:
                raise model_not_found(model)
            model_uid, is_reserved = locked
            if not is_reserved and transaction.models.get(model) is None:
                raise RegistrarError(
                    Reason.MODEL_DELETED, f"model {model.name} is deleted", metadata={"model": model.name}
                )
            existing = transaction.bundles.find(model_uid, manifest.digest)
            claim = _EMPTY
            if existing is None:
                prefix = bundle_prefix(model.tenant, model_uid, manifest.digest)
                claim = transaction.bundles.claim(
                    BundleClaim(new_uid(), prefix),
                    model_uid,
                    model.tenant,
                    manifest.digest,
                    until=now + timedelta(seconds=CLAIM_SECONDS),
                )
        return WritingBundle(
            self._database, self._store, self._clock, caller, model, model_uid, manifest, claim, existing
        )


class WritingBundle:
    """A bundle on its way. `existing` is set, and nothing need be written, when the model has it already."""

    def __init__(
        self,
        database: Database,
        store: BundleStore,
        clock: Clock,
        caller: Caller,
        model: ModelKey,
        model_uid: str,
        manifest: Manifest,
        claim: BundleClaim,
        existing: Bundle | None,
    ) -> None:
        self.existing = existing
        self._database = database
        self._store = store
        self._clock = clock
        self._caller = caller
        self._model = model
        self._model_uid = model_uid
        self._manifest = manifest
        self._claim = claim
        self._transfer: BundleTransfer | None = None if existing else store.start_transfer()
        self._open_file: BundleFile | None = None
        self._renewed = clock.now()

    def next_file(self, file: BundleFile) -> None:
        """End the file before, whose digest must hold, and begin this one."""
        transfer = self._require_transfer()
        self._close_file(transfer)
        transfer.open_object(f"{self._claim.prefix}/{file.path}", size_bytes=file.size_bytes, sha256=file.sha256)
        self._open_file = file

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes to the file."""
        self._keep_claim()
        if self._open_file is None:
            raise RuntimeError("no file of the bundle is open")
        with _naming(self._open_file):
            self._require_transfer().write(data)

    def commit(self) -> tuple[Bundle, int]:
        """Wait until all is durable and record the bundle as verified; its event is 0 when somebody else was faster."""
        transfer = self._require_transfer()
        self._close_file(transfer)
        transfer.finish()
        self._transfer = None
        self._require_stored()
        with self._database.writing() as transaction:
            now = self._clock.now()
            transaction.models.lock_reserved(self._model)
            is_first = transaction.bundles.commit(
                self._claim.uid,
                self._manifest,
                uri=self._store.uri(self._claim.prefix),
                created_by=self._caller.actor,
                time=now,
            )
            bundle = transaction.bundles.get(self._claim.uid)
            if bundle is None:
                raise RegistrarError(
                    Reason.TRANSFER_STALLED, "the upload stood still for so long that it was cleared away"
                )
            sequence = transaction.journal.record(self._change(bundle, now)) if is_first else 0
        return bundle, sequence

    def abort(self) -> None:
        """Give up. Never raises."""
        if self._transfer is not None:
            self._transfer.abort()
            self._transfer = None

    def _close_file(self, transfer: BundleTransfer) -> None:
        if self._open_file is not None:
            with _naming(self._open_file):
                transfer.close_object()
            self._open_file = None

    def _require_transfer(self) -> BundleTransfer:
        if self._transfer is None:
            raise RuntimeError("the bundle is not open for writing")
        return self._transfer

    def _keep_claim(self) -> None:
        now = self._clock.now()
        if now - self._renewed < timedelta(seconds=CLAIM_SECONDS / 10):
            return
        self._renewed = now
        with self._database.writing() as transaction:
            transaction.bundles.keep_claim(self._claim.uid, until=now + timedelta(seconds=CLAIM_SECONDS))

    def _require_stored(self) -> None:
        """See with the store's own eyes that every object is there, before anything is recorded."""
        wanted = {f"{self._claim.prefix}/{file.path}": file.size_bytes for file in self._manifest.files}
        found = {o.key: o.size_bytes for o in self._store.list_objects(f"{self._claim.prefix}/")}
        missing = [key for key, size_bytes in wanted.items() if found.get(key) != size_bytes]
        if missing:
            raise RegistrarError(
                Reason.STORE_UNAVAILABLE,
                f"the store does not have {len(missing)} of the files that it confirmed",
                retry_after_seconds=1.0,
            )

    def _change(self, bundle: Bundle, now: datetime) -> Change:
        return Change(
            action="artifact.committed",
            caller=self._caller,
            time=now,
            model=self._model,
            model_uid=self._model_uid,
            after={
                "artifact_id": bundle.uid,
                "manifest_digest": bundle.manifest_digest,
                "size_bytes": bundle.size_bytes,
                "file_count": bundle.file_count,
            },
            is_mirrored=False,
        )


@contextmanager
def _naming(file: BundleFile) -> Iterator[None]:
    """Say which file of the bundle is wrong; the store's key is nobody's business."""
    try:
        yield
    except RegistrarError as exc:
        if exc.reason not in (Reason.SIZE_MISMATCH, Reason.DIGEST_MISMATCH):
            raise
        wrong = "size" if exc.reason is Reason.SIZE_MISMATCH else "digest"
        raise RegistrarError(
            exc.reason,
            f"the bytes sent for {file.path} do not have the {wrong} that the manifest says",
            metadata={"path": file.path},
        ) from exc
