"""Which models MLflow has to catch up with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.values import ModelKey


@dataclass(frozen=True, slots=True)
class MirrorTask:
    """A model that MLflow has to catch up with: its events after `mirrored_sequence`, up to `wanted_sequence`."""

    model_uid: str
    key: ModelKey
    mirrored_sequence: int
    wanted_sequence: int
    attempts: int


@dataclass(frozen=True, slots=True)
class MirrorProgress:
    """How far MLflow follows: every event up to `mirrored_sequence` is there."""

    event_sequence: int
    mirrored_sequence: int
    pending_models: int
    pending_since: datetime | None = None
    """When the oldest event was recorded that MLflow has not; None: it has all."""


class MirrorRecords(Protocol):
    """Which models MLflow has to catch up with."""

    def lease(self, holder: str, *, now: datetime, until: datetime, limit: int) -> Sequence[MirrorTask]:
        """Take models that are behind, due and not leased, the longest behind first."""

    def finish(self, model_uid: str, holder: str, sequence: int) -> None:
        """MLflow has every event of the model up to this one."""

    def postpone(self, model_uid: str, holder: str, *, next_attempt: datetime, reason: str) -> None:
        """Give a model back after a failure."""

    def progress(self) -> MirrorProgress:
        """How far MLflow follows."""

    def is_any_due(self, now: datetime) -> bool:
        """Whether `lease` might find something."""

    def release(self, node: str) -> None:
        """End every lease of holders of this node."""
