"""Records of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.access import NamePattern
from registrar_server.domain.models import Model
from registrar_server.domain.values import ModelKey


@dataclass(frozen=True, slots=True)
class NewModel:
    """What a new model begins with."""

    uid: str
    key: ModelKey
    description: str
    tags: Mapping[str, str]
    metric_goals: Mapping[str, str]
    created_by: str
    time: datetime


class ModelRecords(Protocol):
    """Models."""

    def get(self, key: ModelKey, *, is_deleted_shown: bool = False) -> Model | None:
        """The model with what its versions amount to; None: absent, reserved, or deleted and not shown."""

    def list(
        self,
        tenant: str,
        *,
        readable: Sequence[NamePattern],
        prefix: str,
        after: str,
        limit: int,
        is_deleted_shown: bool,
    ) -> Sequence[Model]:
        """Models in the order of their names' UTF-8 bytes, readable ones with names greater than `after` only."""

    def lock(self, key: ModelKey) -> Model | None:
        """The model, deleted or not, locked until the transaction ends; None when absent or reserved."""

    def lock_reserved(self, key: ModelKey) -> tuple[str, bool] | None:
        """Uid of the model or reservation, locked, and whether it is only a reservation."""

    def insert(self, model: NewModel, *, is_reserved: bool = False) -> bool:
        """Add a model. A reservation gives a name its uid, so that bytes can be stored for it, and shows nowhere.

        False when the name is taken (also by a race that was lost); nothing was added then.
        """

    def appear(self, model: NewModel) -> None:
        """Make a reservation a model, with these facts."""

    def update(
        self,
        uid: str,
        *,
        description: str,
        tags: Mapping[str, str],
        metric_goals: Mapping[str, str],
        time: datetime,
    ) -> None:
        """Replace what may change; the revision grows."""

    def set_deleted(
        self, uid: str, *, delete_time: datetime | None, purge_time: datetime | None, time: datetime
    ) -> None:
        """Delete or undelete; the revision grows."""
