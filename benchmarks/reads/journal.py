"""Events, audit entries and histories of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Table

from benchmarks.reads.bulk import Row
from benchmarks.reads.catalogue import CREATOR, Step, model_name, steps, uid
from benchmarks.reads.rows import MODEL, VERSION, moment
from registrar_server.adapters.database.documents import dump
from registrar_server.adapters.database.tables import alias_moves, audit_entries, events, transitions
from registrar_server.domain.values import DEFAULT_TENANT

_ACTIONS = {"register": "version.registered", "stage": "version.stage_changed", "alias": "alias.moved"}


class Journal:
    """Every event in its order: the models one after the other, then each step of their lives for all of them."""

    def __init__(self, model_count: int, versions: int) -> None:
        self._models = model_count
        self._steps = list(steps(versions))
        self._registered = {step.version: place for place, step in enumerate(self._steps, 1) if step.kind == "register"}
        self.length = model_count * (1 + len(self._steps))

    def rows(self) -> Mapping[Table, Iterable[Row]]:
        """By table."""
        return {
            events: self._events(),
            audit_entries: self._entries(),
            transitions: self._transitions(),
            alias_moves: self._moves(),
        }

    def registration_of(self, model: int, version: int) -> int:
        """Sequence of the event that a version was registered by."""
        return self._sequence(model, self._registered[version])

    def last_of(self, model: int) -> int:
        """Sequence of a model's newest event."""
        return self._sequence(model, len(self._steps))

    def _sequence(self, model: int, step: int) -> int:
        """Of a model's step; 0 is its making."""
        return step * self._models + model + 1

    def _events(self) -> Iterable[Row]:
        for model in range(self._models):
            yield {"sequence": self._sequence(model, 0), "type": "model.created", **_shared(model, Step("model", 0), 0)}
        for place, step, model in self._all():
            sequence = self._sequence(model, place)
            yield {"sequence": sequence, "type": _ACTIONS[step.kind], **_shared(model, step, sequence)}

    def _entries(self) -> Iterable[Row]:
        for happened in self._events():
            entry = {key: value for key, value in happened.items() if key not in ("sequence", "type")}
            number = happened["sequence"]
            rest = {"position": number, "event_sequence": number, "action": happened["type"]}
            yield {**entry, **rest, "roles": "administrator", "comment": "", "request_id": ""}

    def _transitions(self) -> Iterable[Row]:
        for place, step, model in self._all():
            if step.kind != "stage":
                continue
            sequence = self._sequence(model, place)
            if step.displaced:
                yield _transition(model, sequence, 0, step.displaced, "production", "archived", step.version)
            yield _transition(model, sequence, int(step.displaced > 0), step.version, step.from_stage, step.to_stage, 0)

    def _moves(self) -> Iterable[Row]:
        for place, step, model in self._all():
            if step.kind == "alias":
                sequence = self._sequence(model, place)
                yield {
                    "sequence": sequence,
                    "model_uid": uid(MODEL, model),
                    "alias": "champion",
                    "from_number": step.displaced,
                    "to_number": step.version,
                    "actor": CREATOR,
                    "comment": "better on the holdout",
                    "moved_at": moment(sequence),
                }

    def _all(self) -> Iterable[tuple[int, Step, int]]:
        """Place, step and model."""
        for place, step in enumerate(self._steps, start=1):
            for model in range(self._models):
                yield place, step, model


def _transition(
    model: int, sequence: int, place: int, version: int, from_stage: str, to_stage: str, caused_by: int
) -> Row:
    return {
        "sequence": sequence,
        "place": place,
        "model_uid": uid(MODEL, model),
        "version_uid": uid(VERSION, model, version),
        "number": version,
        "from_stage": from_stage,
        "to_stage": to_stage,
        "kind": "displaced" if caused_by else "requested",
        "actor": CREATOR,
        "comment": "",
        "caused_by": caused_by,
        "moved_at": moment(sequence),
    }


def _shared(model: int, step: Step, sequence: int) -> dict[str, Any]:
    """What an event and its audit entry say alike."""
    return {
        "tenant": DEFAULT_TENANT,
        "model_uid": uid(MODEL, model),
        "model_name": model_name(model),
        "version_uid": uid(VERSION, model, step.version) if step.version else "",
        "number": step.version,
        "alias": "champion" if step.kind == "alias" else "",
        "actor": CREATOR,
        "before": dump({"stage": step.from_stage} if step.kind == "stage" else {}),
        "after": dump({"stage": step.to_stage} if step.kind == "stage" else {}),
        "recorded_at": moment(sequence),
    }
