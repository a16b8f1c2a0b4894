"""`--json`: one document on stdout, whose keys are the fields of the types in `registrar.types` and `registrar.values`.

Times are ISO 8601 in UTC, durations are seconds, references are as people write them, enums are their lower-case names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from registrar.reference import ModelRef, VersionRef

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def to_json(value: object) -> Json:
    """A result as JSON holds it; TypeError for what has no form there."""
    match value:
        case IntEnum():
            found: Json = value.name.lower()
        case None | bool() | str() | int() | float():
            found = value
        case datetime():
            found = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            found = value.total_seconds()
        case ModelRef() | VersionRef():
            found = str(value)
        case bytes():
            found = value.decode(errors="replace")
        case Mapping():
            found = {str(key): to_json(item) for key, item in value.items()}
        case Sequence():
            found = [to_json(item) for item in value]
        case _ if is_dataclass(value):
            found = {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")
    return found


def print_json(value: object) -> None:
    """The document, indented, on stdout."""
    print(json.dumps(to_json(value), indent=2, ensure_ascii=False))
