"""Write a whole bundle in one go and commit it: for one stream, and for the files of an MLflow run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from registrar_server.application.bundle_claims import (
    Claimed,
    abort_store_uploads,
    claim_bundle,
    naming,
    record_bundle,
    require_stored,
)
from registrar_server.application.ports.bundle_store import BundleStore, BundleTransfer
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database
from registrar_server.domain.access import Caller
from registrar_server.domain.bundles import Bundle, BundleFile, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey

CLAIM_SECONDS = 300
"""How long an upload that gives no sign of life keeps its objects from being cleared away."""


class BundleWriter:
    """Opens bundles for writing."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    @contextmanager
    def open(self, caller: Caller, model: ModelKey, manifest: Manifest) -> Iterator[WritingBundle]:
        """Claim a bundle for writing; on any error what was begun is aborted and the claim left to run out."""
        with self._database.writing() as transaction:
            now = self._clock.now()
            until = now + timedelta(seconds=CLAIM_SECONDS)
            claimed = claim_bundle(transaction, caller, model, manifest, now=now, until=until)
        writing = WritingBundle(self._database, self._store, self._clock, caller, model, manifest, claimed)
        try:
            yield writing
        except BaseException:
            writing.abort()
            raise


class WritingBundle:
    """A bundle on its way. `existing` is set, and nothing need be written, when the model has it already."""

    def __init__(
        self,
        database: Database,
        store: BundleStore,
        clock: Clock,
        caller: Caller,
        model: ModelKey,
        manifest: Manifest,
        claimed: Claimed,
    ) -> None:
        self.existing = claimed.existing
        self._database = database
        self._store = store
        self._clock = clock
        self._caller = caller
        self._model = model
        self._manifest = manifest
        self._claimed = claimed
        self._prefix = claimed.claim.prefix
        self._transfer: BundleTransfer | None = None if claimed.existing else store.start_transfer()
        self._open_file: BundleFile | None = None
        self._renewed = clock.now()

    def next_file(self, file: BundleFile) -> None:
        """End the file before, whose digest must hold, and begin this one."""
        transfer = self._require_transfer()
        self._close_file(transfer)
        transfer.open_object(f"{self._prefix}/{file.path}", size_bytes=file.size_bytes, sha256=file.sha256)
        self._open_file = file

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes to the file."""
        self._keep_claim()
        if self._open_file is None:
            raise RuntimeError("no file of the bundle is open")
        with naming(self._open_file):
            self._require_transfer().write(data)

    def commit(self) -> tuple[Bundle, int]:
        """Wait until all is durable and record the bundle as verified; its event is 0 when somebody else was faster."""
        transfer = self._require_transfer()
        self._close_file(transfer)
        transfer.finish()
        self._transfer = None
        require_stored(self._store, self._prefix, self._manifest)
        with self._database.writing() as transaction:
            # A session of the same bundle ends with this; the parts that it has in the store are nobody's then.
            session = transaction.uploads.files(self._claimed.claim.uid)
            bundle, sequence = record_bundle(
                transaction,
                self._caller,
                self._model,
                self._claimed,
                self._manifest,
                uri=self._store.uri(self._prefix),
                now=self._clock.now(),
            )
        if bundle is None:
            raise RegistrarError(Reason.TRANSFER_STALLED, "the upload stood still for so long that it was cleared away")
        abort_store_uploads(self._store, self._prefix, session)
        return bundle, sequence

    def abort(self) -> None:
        """Give up. Never raises."""
        if self._transfer is not None:
            self._transfer.abort()
            self._transfer = None

    def _close_file(self, transfer: BundleTransfer) -> None:
        if self._open_file is not None:
            with naming(self._open_file):
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
            transaction.bundles.keep_claim(self._claimed.claim.uid, until=now + timedelta(seconds=CLAIM_SECONDS))
