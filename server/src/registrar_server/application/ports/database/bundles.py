"""Records of bundles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.bundles import Bundle, BundleFile, Manifest


@dataclass(frozen=True, slots=True)
class BundleClaim:
    """The right to write a bundle that is not committed yet."""

    uid: str
    prefix: str
    wipes: int = 0
    """See `UploadSession.wipes`, as it was when the claim was made."""


class BundleRecords(Protocol):
    """Bundles: claimed while they are written, committed when every byte is verified."""

    def get(self, uid: str) -> Bundle | None:
        """A committed bundle."""

    def find(self, model_uid: str, manifest_digest: str) -> Bundle | None:
        """The committed bundle of a model with that content."""

    def claim(
        self,
        claim: BundleClaim,
        model_uid: str,
        tenant: str,
        manifest_digest: str,
        *,
        until: datetime,
        size_bytes: int = 0,
    ) -> BundleClaim:
        """Announce that a bundle of that size is being written, or join those who write the same one.

        DATABASE_BUSY while what an earlier attempt left is being cleared away.
        """

    def keep_claim(self, uid: str, *, until: datetime) -> bool:
        """Say that writing goes on. False: the claim ran out and was cleared away."""

    def commit(self, uid: str, manifest: Manifest, *, wipes: int, uri: str, created_by: str, time: datetime) -> bool:
        """Record the bundle as verified, with its files. False: somebody else did so first, nothing changed.

        DATABASE_BUSY when `wipes` is no longer what it was at the claim, or a file of its upload session is being copied:
        what was written may be gone.
        """

    def set_verified(self, uid: str, time: datetime) -> None:
        """Record that its stored bytes were read and hold."""

    def files(self, uid: str, *, after: str, limit: int) -> Sequence[BundleFile]:
        """Files in the order of their paths' UTF-8 bytes, paths greater than `after` only."""

    def file(self, uid: str, path: str) -> BundleFile | None:
        """One file."""

    def is_any_abandoned(self, now: datetime) -> bool:
        """Whether a claim ran out, or a clearing was itself abandoned."""

    def lease_abandoned(self, *, now: datetime, until: datetime, limit: int) -> Sequence[BundleClaim]:
        """Claims that ran out, marked so that nobody joins them while they are cleared away."""

    def keep_clearing(self, uid: str, *, lease: datetime, until: datetime) -> bool:
        """Prolong the clearing that was leased until `lease`. False: another has taken it over."""

    def release_clearing(self, uid: str, *, lease: datetime, until: datetime) -> None:
        """Give a clearing up that failed, to be taken up again at `until`."""

    def forget(self, uid: str, *, lease: datetime) -> bool:
        """Remove a claim whose objects are gone, with its upload session. False: another has taken the clearing over."""
