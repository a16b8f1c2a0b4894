"""Model cards, both ways: messages and types have the same fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from google.protobuf.message import Message

from registrar import card_types as types
from registrar.card_types import CardFormat, ModelCard, ModelCardRevision
from registrar.convert.values import time_from_proto
from registrar.v1 import card_pb2
from registrar.values import CardSection

_PARTS = (
    "ModelCard",
    "ModelDetails",
    "IntendedUse",
    "Factors",
    "CardMetrics",
    "CardData",
    "CardDataset",
    "QuantitativeAnalyses",
    "GroupMetrics",
    "EthicalConsiderations",
    "EthicalConcern",
    "CaveatsAndRecommendations",
    "HuggingFaceMetadata",
    "AdditionalSection",
)
_TYPES: Mapping[str, type[Any]] = {f"registrar.v1.{name}": getattr(types, name) for name in _PARTS}
_SECTIONS = {card_pb2.CardSection.Value(f"CARD_SECTION_{section.name}"): section for section in CardSection}
_FORMATS = {
    CardFormat.MARKDOWN: card_pb2.CARD_FORMAT_HUGGING_FACE_MARKDOWN,
    CardFormat.YAML: card_pb2.CARD_FORMAT_YAML,
}


def format_to_proto(card_format: CardFormat) -> card_pb2.CardFormat.ValueType:
    """The format's number in the contract."""
    return _FORMATS[card_format]


def card_to_proto(card: ModelCard) -> card_pb2.ModelCard:
    """A card; parts that say nothing are absent."""
    message = card_pb2.ModelCard()
    _fill(message, card)
    return message


def card_from_proto(message: card_pb2.ModelCard) -> ModelCard:
    """A card."""
    card: ModelCard = _made(message)
    return card


def revision_from_proto(message: card_pb2.ModelCardRevision) -> ModelCardRevision:
    """A revision; sections that this client does not know are left out."""
    return ModelCardRevision(
        model=message.model,
        version=message.version,
        revision=message.revision,
        digest=message.digest,
        etag=message.etag,
        card=card_from_proto(message.card) if message.HasField("card") else None,
        sections=tuple(_SECTIONS[number] for number in message.sections if number in _SECTIONS),
        author=message.author,
        is_prefilled=message.is_prefilled,
        create_time=time_from_proto(message.create_time),
        event_sequence=message.event_sequence,
        uri=message.uri,
    )


def _fill(message: Any, part: Any) -> None:
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            part_message = getattr(message, field.name)
            if value != _TYPES[part_message.DESCRIPTOR.full_name]():
                _fill(part_message, value)
        elif isinstance(value, Mapping):
            getattr(message, field.name).update(value)
        elif isinstance(value, str | bool):
            setattr(message, field.name, value)
        else:
            _extend(getattr(message, field.name), value)


def _extend(repeated: Any, values: Any) -> None:
    for value in values:
        if isinstance(value, str):
            repeated.append(value)
        else:
            _fill(repeated.add(), value)


def _made(message: Message) -> Any:
    part = _TYPES[message.DESCRIPTOR.full_name]
    return part(**{field.name: _value(getattr(message, field.name)) for field in fields(part)})


def _value(value: Any) -> Any:
    if isinstance(value, Message):
        return _made(value)
    if isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    return tuple(_value(one) for one in value)
