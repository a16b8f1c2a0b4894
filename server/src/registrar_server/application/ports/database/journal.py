"""Audit and outbox: what every mutation writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.access import Caller
from registrar_server.domain.values import ModelKey


@dataclass(frozen=True, slots=True)
class Change:
    """One mutation, as audit and event record it. `before` and `after` hold what changed, JSON-shaped, no secrets.

    What is about a tenant and no model (roles, bindings, tokens, the tenant itself) has an empty model name and uid, and
    is not mirrored.
    """

    action: str
    """Fixed dotted name: `version.registered`, `version.stage_changed`, `alias.moved`, …"""
    caller: Caller
    time: datetime
    model: ModelKey
    model_uid: str
    version_uid: str = ""
    number: int = 0
    alias: str = ""
    comment: str = ""
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    request_id: str = ""
    is_mirrored: bool = True
    """Whether MLflow has to follow."""


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the outbox."""

    sequence: int
    type: str
    version_uid: str
    number: int
    alias: str
    before: Mapping[str, object]
    after: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """That something about a model changed, and when in the order of commits."""

    sequence: int
    model: ModelKey


class Journal(Protocol):
    """Audit and outbox: what every mutation writes."""

    def record(self, change: Change) -> int:
        """Write audit entry and event, wake the mirror; the event's sequence. Call it last, after all other locks."""

    def refuse(self, change: Change, reason: str) -> None:
        """Write an audit entry of what was refused, and no event: nothing has changed. `reason` is an error's."""

    def events(self, model_uid: str, *, after: int, until: int) -> Sequence[Event]:
        """A model's events, `after` < sequence <= `until`, in order."""

    def find_sequence(self, version_uid: str, event_type: str) -> int:
        """Sequence of the last event of that type about a version; 0: there is none."""

    def head(self) -> int:
        """Sequence of the newest event; 0: none."""
