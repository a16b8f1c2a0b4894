"""Records of versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.values import ModelKey, Selector, Stage
from registrar_server.domain.versions import ArtifactLink, Facts, ModelVersion, Notes


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a new, PENDING version begins with. `artifact` is None until a run's files have been taken in."""

    uid: str
    model_uid: str
    facts: Facts
    notes: Notes
    artifact: ArtifactLink | None
    run_artifact: str
    content_digest: str
    created_by: str
    time: datetime


class VersionRecords(Protocol):
    """Versions."""

    def get(self, model: ModelKey, selector: Selector) -> Sequence[ModelVersion]:
        """What the selector finds in a living model: by number and uid deleted versions too, by stage maybe several.

        By a range the READY, living version of the highest precedence, found without reading those below it.
        """

    def get_by_uid(self, uid: str) -> ModelVersion | None:
        """A version by its uid alone."""

    def list(
        self, model_uid: str, *, before: int, limit: int, stage: Stage | None, is_deleted_shown: bool
    ) -> Sequence[ModelVersion]:
        """Numbered versions, the highest first, numbers less than `before` only (0: from the highest)."""

    def holders(self, model_uid: str, stage: Stage) -> Sequence[ModelVersion]:
        """Living versions in a stage, by number."""

    def find_content(self, model_uid: str, content_digest: str) -> ModelVersion | None:
        """The newest living READY version with that content."""

    def has_semantic_version(self, model_uid: str, semantic_version: str) -> int | None:
        """Number (0: PENDING) of the version that has it, or None."""

    def ranked(
        self, model_uid: str, *, below: str = "", before: int = 0, is_release: bool = False, limit: int = 1
    ) -> Sequence[ModelVersion]:
        """READY, living versions with a semantic version, the highest precedence first.

        `below`: of lower precedence than this one only; `before`: of lower numbers only (0: all); `is_release`: no
        pre-releases.
        """

    def highest_number(self, model_uid: str) -> int:
        """Highest number ever given, deleted versions included; 0: none."""

    def insert_pending(self, version: NewVersion) -> None:
        """Add a PENDING version and its registration task."""

    def set_artifact(self, uid: str, artifact: ArtifactLink, facts: Facts, content_digest: str) -> None:
        """Complete a PENDING version whose files and facts came from a run."""

    def set_run(self, uid: str, run_id: str) -> None:
        """Record the run that a PENDING version's metrics live on."""

    def set_ready(self, uid: str, number: int, time: datetime) -> bool:
        """Number a PENDING version, make it READY and end its task. False: it was no longer PENDING."""

    def set_failed(self, uid: str, reason: str, message: str, time: datetime) -> bool:
        """Make a PENDING version FAILED and end its task; its semantic version is free again."""

    def set_stage(self, uid: str, stage: Stage, *, is_exclusive: bool, time: datetime) -> None:
        """Move it; the revision grows. The database itself refuses a second exclusive holder."""

    def update_notes(self, uid: str, notes: Notes, time: datetime) -> None:
        """Replace what may change; the revision grows."""

    def set_deleted(
        self, uid: str, *, delete_time: datetime | None, purge_time: datetime | None, time: datetime
    ) -> None:
        """Delete or undelete; the revision grows."""
