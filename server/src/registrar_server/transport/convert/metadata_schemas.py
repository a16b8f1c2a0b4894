"""Metadata schemas."""

from __future__ import annotations

from collections.abc import Sequence

from registrar.v1 import metadata_schema_pb2 as pb
from registrar_server.domain import limits
from registrar_server.domain.metadata_schemas import (
    ALLOWED_VALUES,
    FIELDS_MAXIMUM,
    MODEL_PATTERNS,
    NUMERIC_TYPES,
    PATH_CHARACTERS,
    FieldKind,
    MetadataField,
    MetadataSchema,
    MetadataType,
    Requirement,
    kind_of,
)
from registrar_server.domain.validation import Checker
from registrar_server.transport.convert.values import time_to_proto

_REQUIREMENTS = {
    Requirement.OPTIONAL: pb.METADATA_REQUIREMENT_UNSPECIFIED,
    Requirement.RECOMMENDED: pb.METADATA_REQUIREMENT_RECOMMENDED,
    Requirement.REQUIRED: pb.METADATA_REQUIREMENT_REQUIRED,
}
_REQUIREMENTS_BACK = {message: requirement for requirement, message in _REQUIREMENTS.items()}
_TYPES = {
    MetadataType.ANY: pb.METADATA_TYPE_UNSPECIFIED,
    MetadataType.STRING: pb.METADATA_TYPE_STRING,
    MetadataType.INTEGER: pb.METADATA_TYPE_INTEGER,
    MetadataType.NUMBER: pb.METADATA_TYPE_NUMBER,
    MetadataType.BOOLEAN: pb.METADATA_TYPE_BOOLEAN,
    MetadataType.DATE: pb.METADATA_TYPE_DATE,
    MetadataType.URI: pb.METADATA_TYPE_URI,
}
_TYPES_BACK = {message: kind for kind, message in _TYPES.items()}


def schema_to_proto(schema: MetadataSchema) -> pb.MetadataSchema:
    """A schema."""
    return pb.MetadataSchema(
        tenant=schema.tenant,
        revision=schema.revision,
        fields=map(_field_to_proto, schema.fields),
        etag=schema.etag,
        updated_by=schema.updated_by,
        update_time=time_to_proto(schema.update_time),
    )


def fields_from_proto(check: Checker, field: str, messages: Sequence[pb.MetadataField]) -> tuple[MetadataField, ...]:
    """What is demanded; of the same models each path once."""
    check.count(field, messages, FIELDS_MAXIMUM)
    found = [_field_from_proto(check, f"{field}[{index}]", message) for index, message in enumerate(messages)]
    check.unique(field, [(one.path, one.models) for one in found])
    return tuple(found)


def _field_to_proto(field: MetadataField) -> pb.MetadataField:
    return pb.MetadataField(
        path=field.path,
        requirement=_REQUIREMENTS[field.requirement],
        type=_TYPES[field.type],
        allowed_values=field.allowed_values,
        min=field.min,
        max=field.max,
        max_characters=field.max_characters,
        model_patterns=[pattern.text for pattern in field.models],
        description=field.description,
    )


def _field_from_proto(check: Checker, at: str, message: pb.MetadataField) -> MetadataField:
    requirement, kind = _REQUIREMENTS_BACK.get(message.requirement), _TYPES_BACK.get(message.type)
    if requirement is None:
        check.fail(f"{at}.requirement", "is not a requirement")
    if kind is None:
        check.fail(f"{at}.type", "is not a type")
    check.count(f"{at}.allowed_values", message.allowed_values, ALLOWED_VALUES)
    check.unique(f"{at}.allowed_values", message.allowed_values)
    check.count(f"{at}.model_patterns", message.model_patterns, MODEL_PATTERNS)
    if message.max_characters < 0:
        check.fail(f"{at}.max_characters", "must be at least 0")
    field = MetadataField(
        path=check.text(f"{at}.path", message.path, PATH_CHARACTERS, is_required=True),
        requirement=requirement or Requirement.OPTIONAL,
        type=kind or MetadataType.ANY,
        allowed_values=tuple(
            check.text(f"{at}.allowed_values[{place}]", value, limits.LABEL_CHARACTERS, is_required=True)
            for place, value in enumerate(message.allowed_values)
        ),
        min=check.finite(f"{at}.min", message.min) if message.HasField("min") else None,
        max=check.finite(f"{at}.max", message.max) if message.HasField("max") else None,
        max_characters=message.max_characters,
        models=tuple(
            check.model_pattern(f"{at}.model_patterns[{place}]", pattern)
            for place, pattern in enumerate(message.model_patterns)
        ),
        description=check.text(f"{at}.description", message.description, limits.LABEL_CHARACTERS),
    )
    _check_sense(check, at, field)
    return field


def _check_sense(check: Checker, at: str, field: MetadataField) -> None:
    """What is demanded can be demanded of what the path leads to."""
    kind = kind_of(field.path)
    if kind is None:
        if field.path:
            check.fail(f"{at}.path", "leads nowhere: see MetadataField.path")
        return
    is_text = kind in (FieldKind.TEXT, FieldKind.PARAMETER)
    if field.type is not MetadataType.ANY and not is_text:
        check.fail(f"{at}.type", "is for texts only")
    if field.max_characters and not is_text:
        check.fail(f"{at}.max_characters", "is for texts only")
    if field.allowed_values and kind in (FieldKind.PRESENCE, FieldKind.NUMBER):
        check.fail(f"{at}.allowed_values", "are for texts, parameters and truth values only")
    is_number = kind in (FieldKind.NUMBER, FieldKind.PARAMETER) or (is_text and field.type in NUMERIC_TYPES)
    if (field.min is not None or field.max is not None) and not is_number:
        check.fail(f"{at}.min" if field.min is not None else f"{at}.max", "is for numbers only")
    if field.min is not None and field.max is not None and field.min > field.max:
        check.fail(f"{at}.max", "must be at least min")
