"""Metadata schemas: what versions of a tenant have to say about themselves. All of it is frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from registrar.errors import InvalidArgument


class MetadataRequirement(StrEnum):
    """Whether metadata has to be there. OPTIONAL: it must fit where it is."""

    OPTIONAL = "optional"
    RECOMMENDED = "recommended"
    REQUIRED = "required"


class MetadataType(StrEnum):
    """What a text must be."""

    ANY = "any"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class MetadataField:
    """A demand about one piece of metadata, by its path: `tags.owner`, `metrics.f1`, `provenance.git_commit`, …"""

    path: str
    requirement: MetadataRequirement = MetadataRequirement.OPTIONAL
    type: MetadataType = MetadataType.ANY
    allowed_values: Sequence[str] = ()
    min: float | None = None
    max: float | None = None
    max_characters: int = 0
    model_patterns: Sequence[str] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class MetadataSchema:
    """One revision of a tenant's demands; 0: nobody has written one."""

    tenant: str
    revision: int
    fields: Sequence[MetadataField]
    etag: str
    updated_by: str
    update_time: datetime | None


_KNOWN = {field.name for field in fields(MetadataField)}
_READ_ONLY = {field.name for field in fields(MetadataSchema)} - {"fields"}


def fields_of_document(document: Mapping[str, object]) -> list[MetadataField]:
    """The demands of a document as people write it, and as `registrar schema show --json` prints it.

    Errors: InvalidArgument DOCUMENT_UNREADABLE, which says where.
    """
    if unknown := set(document) - _READ_ONLY - {"fields"}:
        raise _refused(f"{min(unknown)!r} is not known; `fields` is")
    listed = document.get("fields")
    if not isinstance(listed, list):
        raise _refused("`fields` must be a list")
    return [_field(f"fields[{index}]", entry) for index, entry in enumerate(listed)]


def _field(at: str, entry: object) -> MetadataField:
    if not isinstance(entry, Mapping):
        raise _refused(f"{at} must be a mapping")
    if unknown := set(map(str, entry)) - _KNOWN:
        raise _refused(f"{at}: {min(unknown)!r} is not known; there are {', '.join(sorted(_KNOWN))}")
    try:
        return MetadataField(
            path=_text(entry, "path"),
            requirement=MetadataRequirement(_text(entry, "requirement") or MetadataRequirement.OPTIONAL),
            type=MetadataType(_text(entry, "type") or MetadataType.ANY),
            allowed_values=[_scalar(value) for value in _list(entry, "allowed_values")],
            min=_number(entry, "min"),
            max=_number(entry, "max"),
            max_characters=int(_number(entry, "max_characters") or 0),
            model_patterns=[_scalar(value) for value in _list(entry, "model_patterns")],
            description=_text(entry, "description"),
        )
    except (TypeError, ValueError) as exc:
        raise _refused(f"{at}: {exc}") from None


def _text(entry: Mapping[object, object], name: str) -> str:
    value = entry.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a text")
    return value


def _list(entry: Mapping[object, object], name: str) -> Sequence[object]:
    value = entry.get(name) or ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"`{name}` must be a list")
    return value


def _number(entry: Mapping[object, object], name: str) -> float | None:
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"`{name}` must be a number")
    return value


def _scalar(value: object) -> str:
    """A text, or what YAML has made of one: `true`, `3`."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise TypeError("values must be texts")
    return str(value)


def _refused(problem: str) -> InvalidArgument:
    return InvalidArgument(f"the metadata schema cannot be read: {problem}", reason="DOCUMENT_UNREADABLE")
