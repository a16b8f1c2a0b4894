"""A model: a named line of versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from registrar_server.domain.values import MetricGoal, ModelKey


@dataclass(frozen=True, slots=True)
class Model:
    """A model with what its versions amount to at the time of reading."""

    uid: str
    key: ModelKey
    description: str
    tags: Mapping[str, str]
    metric_goals: Mapping[str, MetricGoal]
    revision: int
    created_by: str
    create_time: datetime
    update_time: datetime
    delete_time: datetime | None = None
    purge_time: datetime | None = None
    latest_version: int = 0
    production_version: int = 0
    staging_version: int = 0
    aliases: Mapping[str, int] | None = None

    @property
    def etag(self) -> str:
        """Changes whenever `revision` does."""
        return str(self.revision)
