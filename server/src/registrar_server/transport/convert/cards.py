"""Model cards: messages that have the fields of the domain's, by the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registrar.v1 import card_pb2 as pb
from registrar_server.application.cards.cards import ShownCard
from registrar_server.application.cards.layout import HEADER, ONE_LINE, PARTS, CardField, Kind, fields_of
from registrar_server.domain.cards import (
    CARD_BYTES,
    CARD_FIELDS,
    CARD_SECTIONS,
    AdditionalSection,
    CardFormat,
    CardSection,
    GroupMetrics,
    ModelCard,
)
from registrar_server.domain.validation import Checker
from registrar_server.transport.convert.values import time_to_proto

CARD_FIELD_NAMES = tuple(pb.ModelCard.DESCRIPTOR.fields_by_name)
_FORMATS = {
    pb.CARD_FORMAT_HUGGING_FACE_MARKDOWN: CardFormat.HUGGING_FACE_MARKDOWN,
    pb.CARD_FORMAT_YAML: CardFormat.YAML,
}
_HEADER_NAMES = ("title", *(field.name for field in HEADER))
_TEXTS = 1_000
"""Entries of a list."""


def section_to_proto(section: CardSection) -> pb.CardSection.ValueType:
    """One of the nine sections."""
    return pb.CardSection.Value(f"CARD_SECTION_{section.name}")


def format_from_proto(check: Checker, field: str, message: pb.CardFormat.ValueType) -> CardFormat:
    """How a card is written down; it must be given."""
    form = _FORMATS.get(message)
    if form is None:
        check.fail(field, "must be CARD_FORMAT_HUGGING_FACE_MARKDOWN or CARD_FORMAT_YAML")
        return CardFormat.YAML
    return form


def revision_to_proto(shown: ShownCard) -> pb.ModelCardRevision:
    """A revision, with the card where it was asked for."""
    state = shown.revision.state
    return pb.ModelCardRevision(
        model=shown.version.model.name,
        version=shown.version.number,
        revision=state.revision,
        digest=state.digest,
        etag=shown.revision.etag,
        card=None if shown.card is None else card_to_proto(shown.card),
        sections=[section_to_proto(section) for section in CardSection if section in state.sections],
        author=state.author,
        is_prefilled=state.is_prefilled,
        create_time=time_to_proto(state.time),
        event_sequence=shown.revision.sequence,
        uri=shown.uri,
    )


def card_to_proto(card: ModelCard) -> pb.ModelCard:
    """A card. Parts that say nothing are absent."""
    parts: dict[str, Any] = {
        name: _part_to_proto(part, getattr(card, name)) for name, part in PARTS.items() if getattr(card, name) != part()
    }
    return pb.ModelCard(
        **{name: getattr(card, name) for name in _HEADER_NAMES},
        **parts,
        additional_sections=[
            pb.AdditionalSection(heading=one.heading, text=one.text, is_chapter=one.is_chapter)
            for one in card.additional_sections
        ],
        additional_fields=card.additional_fields,
    )


def card_from_proto(check: Checker, field: str, message: pb.ModelCard) -> ModelCard:
    """A card, as it was sent."""
    check.count(f"{field}.additional_sections", message.additional_sections, CARD_SECTIONS)
    check.count(f"{field}.additional_fields", message.additional_fields, CARD_FIELDS)
    if message.ByteSize() > 2 * CARD_BYTES:
        # Its JSON is not much shorter; one that is far too large is not looked at any further.
        check.fail(field, f"has {message.ByteSize()} bytes, at most {CARD_BYTES} as JSON are allowed")
        return ModelCard()
    header: dict[str, Any] = {
        name: check.text(f"{field}.{name}", getattr(message, name), CARD_BYTES) for name in _HEADER_NAMES
    }
    for name in sorted(ONE_LINE):
        _require_one_line(check, f"{field}.{name}", header[name])
    parts = {
        name: _part_from_proto(check, f"{field}.{name}", part, getattr(message, name)) for name, part in PARTS.items()
    }
    for key, text in message.additional_fields.items():
        check.text(f"{field}.additional_fields (key)", key, CARD_BYTES)
        check.text(f"{field}.additional_fields[{key[:64]!r}]", text, CARD_BYTES, is_required=True)
    return ModelCard(
        **header,
        **parts,
        additional_sections=tuple(
            _section_from_proto(check, f"{field}.additional_sections[{index}]", one)
            for index, one in enumerate(message.additional_sections)
        ),
        additional_fields=dict(message.additional_fields),
    )


def _section_from_proto(check: Checker, field: str, message: pb.AdditionalSection) -> AdditionalSection:
    heading = check.text(f"{field}.heading", message.heading, CARD_BYTES, is_required=True)
    _require_one_line(check, f"{field}.heading", heading)
    return AdditionalSection(heading, check.text(f"{field}.text", message.text, CARD_BYTES), message.is_chapter)


def _part_to_proto(part: type[Any], value: Any) -> Any:
    message: Any = getattr(pb, part.__name__)()
    for field in fields_of(part):
        said = getattr(value, field.name)
        match field.kind:
            case Kind.TEXT:
                setattr(message, field.name, said)
            case Kind.TEXTS:
                getattr(message, field.name).extend(said)
            case Kind.NUMBERS:
                getattr(message, field.name).update(said)
            case Kind.ITEMS if field.item is not None:
                getattr(message, field.name).extend(_part_to_proto(field.item, item) for item in said)
            case _:
                getattr(message, field.name).extend(map(_group_to_proto, said))
    return message


def _group_to_proto(group: GroupMetrics) -> pb.GroupMetrics:
    return pb.GroupMetrics(dimension=group.dimension, group=group.group, dataset=group.dataset, metrics=group.metrics)


def _part_from_proto(check: Checker, at: str, part: type[Any], message: Any) -> Any:
    values = {f.name: _value_from_proto(check, f"{at}.{f.name}", f, getattr(message, f.name)) for f in fields_of(part)}
    return part(**values)


def _value_from_proto(check: Checker, at: str, field: CardField, said: Any) -> Any:
    match field.kind:
        case Kind.TEXT:
            return check.text(at, said, CARD_BYTES)
        case Kind.TEXTS:
            check.count(at, said, _TEXTS)
            return tuple(check.text(f"{at}[{index}]", text, CARD_BYTES) for index, text in enumerate(said))
        case Kind.NUMBERS:
            return _metrics_from_proto(check, at, said)
        case Kind.ITEMS if field.item is not None:
            check.count(at, said, _TEXTS)
            return tuple(_part_from_proto(check, f"{at}[{i}]", field.item, item) for i, item in enumerate(said))
        case _:
            check.count(at, said, _TEXTS)
            groups = tuple(_group_from_proto(check, f"{at}[{index}]", group) for index, group in enumerate(said))
            check.unique(at, [group.key for group in groups])
            return groups


def _group_from_proto(check: Checker, at: str, message: pb.GroupMetrics) -> GroupMetrics:
    for name in ("dimension", "group", "dataset"):
        text = check.text(f"{at}.{name}", getattr(message, name), CARD_BYTES, is_required=name != "dataset")
        _require_one_line(check, f"{at}.{name}", text)
    metrics = _metrics_from_proto(check, f"{at}.metrics", message.metrics)
    return GroupMetrics(message.dimension, message.group, message.dataset, metrics)


def _metrics_from_proto(check: Checker, at: str, metrics: Mapping[str, float]) -> dict[str, float]:
    for name in metrics:
        _require_one_line(check, f"{at} (key)", name)
    return check.metrics(at, metrics)


def _require_one_line(check: Checker, at: str, text: str) -> None:
    if " ".join(text.split()) != text:
        check.fail(at, "must be one line without white space at its ends, or several spaces together")
