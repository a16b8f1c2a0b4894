"""What every way to write a bundle has in common: it is claimed first, seen in the store, and recorded last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from registrar_server.application.authorization import model_not_found
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import new_uid
from registrar_server.application.ports.database import BundleClaim, Change, NewModel, Transaction
from registrar_server.application.quotas import Quota, require_within
from registrar_server.application.resolution import require_tenant
from registrar_server.domain.access import Caller
from registrar_server.domain.bundles import Bundle, BundleFile, Manifest, bundle_prefix
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.uploads import FileState, UploadFile
from registrar_server.domain.values import ModelKey


@dataclass(frozen=True, slots=True)
class Claimed:
    """A bundle that may be written; or `existing`, when the model has it already."""

    model_uid: str
    claim: BundleClaim
    existing: Bundle | None


def claim_bundle(
    transaction: Transaction, caller: Caller, model: ModelKey, manifest: Manifest, *, now: datetime, until: datetime
) -> Claimed:
    """Claim a bundle of a model, which need not exist yet, or join those who write the same one.

    TENANT_NOT_FOUND, MODEL_DELETED, QUOTA_EXCEEDED; DATABASE_BUSY while what an earlier attempt left is being cleared away.
    """
    require_tenant(transaction, model.tenant)
    transaction.models.insert(NewModel(new_uid(), model, "", {}, {}, caller.actor, now), is_reserved=True)
    locked = transaction.models.lock_reserved(model)
    if locked is None:
        raise model_not_found(model)
    model_uid, is_reserved = locked
    if not is_reserved and transaction.models.get(model) is None:
        raise RegistrarError(Reason.MODEL_DELETED, f"model {model.name} is deleted", metadata={"model": model.name})
    existing = transaction.bundles.find(model_uid, manifest.digest)
    if existing is not None:
        return Claimed(model_uid, BundleClaim(existing.uid, existing.prefix), existing)
    new = BundleClaim(new_uid(), bundle_prefix(model.tenant, model_uid, manifest.digest))
    claim = transaction.bundles.claim(
        new, model_uid, model.tenant, manifest.digest, until=until, size_bytes=manifest.size_bytes
    )
    require_within(transaction, model.tenant, Quota.BYTES)
    return Claimed(model_uid, claim, None)


def require_stored(store: BundleStore, prefix: str, manifest: Manifest) -> None:
    """See with the store's own eyes that every object is there, before anything is recorded."""
    wanted = {f"{prefix}/{file.path}": file.size_bytes for file in manifest.files}
    found = {o.key: o.size_bytes for o in store.list_objects(f"{prefix}/")}
    missing = [key for key, size_bytes in wanted.items() if found.get(key) != size_bytes]
    if missing:
        raise RegistrarError(
            Reason.STORE_UNAVAILABLE,
            f"the store does not have {len(missing)} of the files that it confirmed",
            retry_after_seconds=1.0,
        )


def record_bundle(
    transaction: Transaction,
    caller: Caller,
    model: ModelKey,
    claimed: Claimed,
    manifest: Manifest,
    *,
    uri: str,
    now: datetime,
) -> tuple[Bundle | None, int]:
    """Record a bundle as verified: it and its event, 0 when somebody else was faster; None when it was cleared away."""
    transaction.models.lock_reserved(model)
    uid = claimed.claim.uid
    is_first = transaction.bundles.commit(
        uid, manifest, wipes=claimed.claim.wipes, uri=uri, created_by=caller.actor, time=now
    )
    bundle = transaction.bundles.get(uid)
    if bundle is None or not is_first:
        return bundle, 0
    change = Change(
        action="artifact.committed",
        caller=caller,
        time=now,
        model=model,
        model_uid=claimed.model_uid,
        after={
            "artifact_id": bundle.uid,
            "manifest_digest": bundle.manifest_digest,
            "size_bytes": bundle.size_bytes,
            "file_count": bundle.file_count,
        },
        is_mirrored=False,
    )
    return bundle, transaction.journal.record(change)


def abort_store_uploads(store: BundleStore, prefix: str, files: Iterable[UploadFile]) -> None:
    """Drop what is begun in the store of files that nobody will send any more. What cannot be dropped now stays."""
    for file in files:
        if file.store_upload_id and file.state is not FileState.STORED:
            with suppress(RegistrarError):
                store.abort_upload(f"{prefix}/{file.file.path}", file.store_upload_id)


@contextmanager
def naming(file: BundleFile) -> Iterator[None]:
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
