"""What versions of a tenant have to say about themselves: demands by path, and what is wrong with a version."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TypeAlias

from registrar_server.domain.access import NamePattern
from registrar_server.domain.errors import Violation
from registrar_server.domain.values import Parameter
from registrar_server.domain.versions import Dataset, Facts, Notes

FIELDS_MAXIMUM = 200
PATH_CHARACTERS = 300
ALLOWED_VALUES = 100
MODEL_PATTERNS = 50

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")


class Requirement(StrEnum):
    """Whether metadata has to be there."""

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


class FieldKind(StrEnum):
    """What a path leads to, and so what can be demanded of it."""

    TEXT = "text"
    NUMBER = "number"
    PARAMETER = "parameter"
    FLAG = "flag"
    PRESENCE = "presence"


NUMERIC_TYPES = (MetadataType.INTEGER, MetadataType.NUMBER)
_Reader: TypeAlias = Callable[[Facts, Notes], Sequence[Parameter]]


@dataclass(frozen=True, slots=True)
class MetadataField:
    """A demand. `allowed_values`, `models` empty and `max_characters` 0 demand nothing; what is there must fit."""

    path: str
    requirement: Requirement = Requirement.OPTIONAL
    type: MetadataType = MetadataType.ANY
    allowed_values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    max_characters: int = 0
    models: tuple[NamePattern, ...] = ()
    description: str = ""

    def is_about(self, model: str) -> bool:
        """Whether versions of a model have to meet it."""
        return not self.models or any(pattern.matches(model) for pattern in self.models)

    @property
    def document(self) -> dict[str, object]:
        """As it is stored and audited, JSON-shaped; what demands nothing is left out."""
        document: dict[str, object] = {
            "requirement": self.requirement.value,
            "type": self.type.value,
            "allowed_values": list(self.allowed_values),
            "max_characters": self.max_characters,
            "models": [pattern.text for pattern in self.models],
            "description": self.description,
        }
        limits = {name: value for name, value in (("min", self.min), ("max", self.max)) if value is not None}
        return {"path": self.path} | {key: value for key, value in document.items() if value} | limits


@dataclass(frozen=True, slots=True)
class MetadataSchema:
    """One revision of a tenant's demands; 0: nobody has written one."""

    tenant: str
    revision: int = 0
    fields: tuple[MetadataField, ...] = ()
    updated_by: str = ""
    update_time: datetime | None = None

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return f"s{self.revision}"

    def violations(
        self, model: str, facts: Facts, notes: Notes, *, is_run_awaited: bool = False
    ) -> Sequence[Violation]:
        """Everything that is missing or does not fit.

        `is_run_awaited`: what a run can bring is not missing yet.
        """
        found: list[Violation] = []
        for field in self._about(model):
            values = read(field.path, facts, notes)
            if values:
                found += [Violation(field.path, text) for text in dict.fromkeys(_problems(field, values))]
            elif field.requirement is Requirement.REQUIRED and not (is_run_awaited and may_come_from_run(field.path)):
                found.append(Violation(field.path, _with_description(field, "is required by the metadata schema")))
        return found

    def missing_recommended(self, model: str, facts: Facts, notes: Notes) -> Sequence[str]:
        """Paths of what is recommended and not there, each once."""
        wanted = (field.path for field in self._about(model) if field.requirement is Requirement.RECOMMENDED)
        return [path for path in dict.fromkeys(wanted) if not read(path, facts, notes)]

    def _about(self, model: str) -> Iterator[MetadataField]:
        return (field for field in self.fields if field.is_about(model))


def kind_of(path: str) -> FieldKind | None:
    """What a path leads to; None: nowhere."""
    found = _FIXED.get(path)
    if found is not None:
        return found[0]
    root, _, key = path.partition(".")
    return _KEYED[root][0] if key and root in _KEYED else None


def read(path: str, facts: Facts, notes: Notes) -> Sequence[Parameter]:
    """The values at a path; none: it is not there. What is a message leads to True, when it is there."""
    found = _FIXED.get(path)
    if found is not None:
        return found[1](facts, notes)
    root, _, key = path.partition(".")
    value = _KEYED[root][1](facts, notes).get(key)
    return () if value is None or value == "" else (value,)


def may_come_from_run(path: str) -> bool:
    """Whether an MLflow run that is taken in can bring it."""
    return path.startswith(_FROM_RUN)


def _problems(field: MetadataField, values: Sequence[Parameter]) -> Iterator[str]:
    for value in values:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if field.allowed_values and text not in field.allowed_values:
            yield _with_description(field, f"must be one of {', '.join(field.allowed_values[:20])}")
        if field.max_characters and len(text) > field.max_characters:
            yield f"has {len(text)} characters, the metadata schema allows {field.max_characters}"
        if not _FORMS[field.type](text):
            yield _with_description(field, f"must be {_FORM_WORDS[field.type]}")
        elif field.min is not None or field.max is not None:
            yield from _range_problems(field, value, text)


def _range_problems(field: MetadataField, value: Parameter, text: str) -> Iterator[str]:
    is_number = not isinstance(value, bool | str) or bool(_NUMBER.fullmatch(text))
    number = float(text) if is_number else math.nan
    if not is_number:
        yield "must be a number"
    if field.min is not None and number < field.min:
        yield _with_description(field, f"must be at least {field.min:g}")
    if field.max is not None and number > field.max:
        yield _with_description(field, f"must be at most {field.max:g}")


def _with_description(field: MetadataField, text: str) -> str:
    return f"{text}: {field.description}" if field.description else text


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and date.fromisoformat(text) is not None
    except ValueError:
        return False


_FORMS: Mapping[MetadataType, Callable[[str], bool]] = {
    MetadataType.ANY: lambda _: True,
    MetadataType.STRING: lambda text: bool(text.strip()),
    MetadataType.INTEGER: lambda text: _INTEGER.fullmatch(text) is not None,
    MetadataType.NUMBER: lambda text: _NUMBER.fullmatch(text) is not None and math.isfinite(float(text)),
    MetadataType.BOOLEAN: lambda text: text in ("true", "false"),
    MetadataType.DATE: _is_date,
    MetadataType.URI: lambda text: _URI.fullmatch(text) is not None,
}
_FORM_WORDS: Mapping[MetadataType, str] = {
    MetadataType.STRING: "more than white space",
    MetadataType.INTEGER: "a whole number",
    MetadataType.NUMBER: "a finite number",
    MetadataType.BOOLEAN: "true or false",
    MetadataType.DATE: "a day, such as 2025-11-29",
    MetadataType.URI: "a URI with a scheme",
}


def _text(read_text: Callable[[Facts, Notes], str]) -> tuple[FieldKind, _Reader]:
    return FieldKind.TEXT, lambda facts, notes: (text,) if (text := read_text(facts, notes)) else ()


def _presence(is_there: Callable[[Facts, Notes], object]) -> tuple[FieldKind, _Reader]:
    return FieldKind.PRESENCE, lambda facts, notes: (True,) if is_there(facts, notes) else ()


def _of_data(find: Callable[[Facts], Sequence[Dataset]], part: str) -> tuple[FieldKind, _Reader]:
    """A part that every data set has to have."""

    def read_parts(facts: Facts, _: Notes) -> Sequence[Parameter]:
        parts: list[str] = [getattr(data, part) for data in find(facts)]
        return tuple(parts) if all(parts) else ()

    return FieldKind.TEXT, read_parts


def _flag(facts: Facts, _: Notes) -> Sequence[Parameter]:
    is_dirty = facts.provenance.is_git_dirty
    return () if is_dirty is None else (is_dirty,)


_FIXED: Mapping[str, tuple[FieldKind, _Reader]] = {
    "description": _text(lambda _, notes: notes.description),
    "semantic_version": _text(lambda facts, _: facts.semantic_version),
    "drift_monitor_id": _text(lambda _, notes: notes.drift_monitor_id),
    "documentation.model_card_uri": _text(lambda _, notes: notes.model_card_uri),
    "documentation.datasheet_uri": _text(lambda _, notes: notes.datasheet_uri),
    "risk.level": _text(lambda facts, _: facts.risk_level.value if facts.risk_level else ""),
    "risk.assessment_id": _text(lambda facts, _: facts.risk_assessment_id),
    "metrics": _presence(lambda facts, _: facts.metrics),
    "metric_slices": _presence(lambda facts, _: facts.metric_slices),
    "parameters": _presence(lambda facts, _: facts.parameters),
    "signature": _presence(lambda facts, _: facts.signature),
    "signature.inputs": _presence(lambda facts, _: facts.signature and facts.signature.inputs),
    "signature.outputs": _presence(lambda facts, _: facts.signature and facts.signature.outputs),
    "flavors": (FieldKind.TEXT, lambda facts, _: facts.flavors),
    "provenance.run_id": _text(lambda facts, _: facts.provenance.run_id),
    "provenance.git_commit": _text(lambda facts, _: facts.provenance.git_commit),
    "provenance.is_git_dirty": (FieldKind.FLAG, _flag),
    "provenance.git_repository": _text(lambda facts, _: facts.provenance.git_repository),
    "provenance.ci_build": _text(lambda facts, _: facts.provenance.ci_build),
    "provenance.environment.image": _text(lambda facts, _: facts.provenance.image),
    "provenance.environment.lock_digest": _text(lambda facts, _: facts.provenance.lock_digest),
    "provenance.parent": _presence(lambda facts, _: facts.provenance.parent),
    "provenance.preprocessing": _text(lambda facts, _: facts.provenance.preprocessing),
    "provenance.training_data": _presence(lambda facts, _: facts.provenance.training_data),
    "provenance.validation_data": _presence(lambda facts, _: facts.provenance.validation_data),
    **{
        f"provenance.training_data.{part}": _of_data(lambda facts: facts.provenance.training_data, part)
        for part in ("name", "uri", "digest", "version")
    },
    **{
        f"provenance.validation_data.{part}": _of_data(lambda facts: facts.provenance.validation_data, part)
        for part in ("name", "uri", "digest", "version")
    },
}
_KEYED: Mapping[str, tuple[FieldKind, Callable[[Facts, Notes], Mapping[str, Parameter]]]] = {
    "tags": (FieldKind.TEXT, lambda _, notes: notes.tags),
    "metrics": (FieldKind.NUMBER, lambda facts, _: facts.metrics),
    "parameters": (FieldKind.PARAMETER, lambda facts, _: facts.parameters),
}
_FROM_RUN = (
    "metrics",
    "parameters",
    "signature",
    "flavors",
    "provenance.run_id",
    "provenance.git_commit",
    "provenance.git_repository",
    "provenance.training_data",
    "provenance.validation_data",
)
