"""Where each field of a card stands: in the YAML form, and under which label in Markdown.

The YAML form is that of the templates which teams keep beside their weights: limitations and caveats, harms and what was
found out about bias are keys of their own, metrics of groups stand below the metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Any

from registrar_server.domain.cards import (
    AdditionalSection,
    CardData,
    CardDataset,
    CardMetrics,
    CardSection,
    CaveatsAndRecommendations,
    EthicalConcern,
    EthicalConsiderations,
    Factors,
    HuggingFaceMetadata,
    IntendedUse,
    ModelCard,
    ModelDetails,
    QuantitativeAnalyses,
)


class Kind(Enum):
    """What a field holds."""

    TEXT = auto()
    TEXTS = auto()
    NUMBERS = auto()
    """Finite values by name."""
    ITEMS = auto()
    """Things that have texts of their own, the first of which names them."""
    GROUPS = auto()


_KINDS: Mapping[str, tuple[Kind, type[Any] | None]] = {
    "str": (Kind.TEXT, None),
    "tuple[str, ...]": (Kind.TEXTS, None),
    "Mapping[str, float]": (Kind.NUMBERS, None),
    "tuple[CardDataset, ...]": (Kind.ITEMS, CardDataset),
    "tuple[EthicalConcern, ...]": (Kind.ITEMS, EthicalConcern),
    "tuple[GroupMetrics, ...]": (Kind.GROUPS, None),
}


@dataclass(frozen=True, slots=True)
class CardField:
    """One field of a part of a card. `item` is what ITEMS are made of."""

    name: str
    kind: Kind
    item: type[Any] | None = None

    @property
    def label(self) -> str:
        """What people read: `Intended users`."""
        text = self.name.replace("_", " ").capitalize()
        return text.removesuffix("uri") + "URI" if text.lower().endswith("uri") else text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands: in which part of the card (empty: the card itself), and the keys that lead to it in YAML."""

    part: str
    field: CardField
    path: tuple[str, ...]


SECTIONS: Mapping[CardSection, type[Any]] = {
    CardSection.MODEL_DETAILS: ModelDetails,
    CardSection.INTENDED_USE: IntendedUse,
    CardSection.FACTORS: Factors,
    CardSection.METRICS: CardMetrics,
    CardSection.EVALUATION_DATA: CardData,
    CardSection.TRAINING_DATA: CardData,
    CardSection.QUANTITATIVE_ANALYSES: QuantitativeAnalyses,
    CardSection.ETHICAL_CONSIDERATIONS: EthicalConsiderations,
    CardSection.CAVEATS_AND_RECOMMENDATIONS: CaveatsAndRecommendations,
}
PARTS: Mapping[str, type[Any]] = {
    **{section.value: part for section, part in SECTIONS.items()},
    "hugging_face": HuggingFaceMetadata,
}
_FIELDS = {
    part: tuple(CardField(field.name, *_KINDS[str(field.type)]) for field in fields(part))
    for part in (*PARTS.values(), CardDataset, EthicalConcern)
}
TITLES = {section: section.value.replace("_", " ").capitalize() for section in CardSection}
"""Headings of the nine sections."""
HEADER = tuple(CardField(name, Kind.TEXT) for name in ("summary", "model_card_version", "last_updated", "approved_by"))
"""What stands between the title and the first section."""
ONE_LINE = frozenset({"title", "model_card_version", "last_updated", "approved_by"})
ADDITIONAL_SECTIONS = "additional_sections"
SECTION_FIELDS = tuple(field.name for field in fields(AdditionalSection))
PER_GROUP, PER_DATASET = ("metrics", "per_group"), ("metrics", "per_dataset")
"""Metrics of groups: by dimension and group; by data set, dimension and group."""

_ELSEWHERE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("ethical_considerations", "statement"): ("ethical_statement",),
    ("ethical_considerations", "concerns"): ("ethical_considerations",),
    ("ethical_considerations", "bias_assessment"): ("bias_assessment",),
    ("ethical_considerations", "risk_assessment"): ("risk_assessment",),
    ("caveats_and_recommendations", "limitations"): ("limitations",),
    ("caveats_and_recommendations", "caveats"): ("caveats",),
    ("caveats_and_recommendations", "warnings"): ("warnings",),
    ("caveats_and_recommendations", "recommendations"): ("recommendations",),
}
_ORDER = (
    "title",
    "summary",
    "model_details",
    "intended_use",
    "factors",
    "training_data",
    "evaluation_data",
    "metrics",
    "quantitative_analyses",
    "caveats_and_recommendations",
    "ethical_considerations",
    "model_card_version",
    "last_updated",
    "approved_by",
    "hugging_face",
)


def _places() -> tuple[Place, ...]:
    found: list[Place] = []
    for name in _ORDER:
        if name not in PARTS:
            found.append(Place("", CardField(name, Kind.TEXT), (name,)))
            continue
        found += [
            Place(name, field, _ELSEWHERE.get((name, field.name), (name, field.name)))
            for field in _FIELDS[PARTS[name]]
            if field.kind is not Kind.GROUPS
        ]
    return tuple(found)


PLACES = _places()
"""Every field but the metrics of groups and the additional ones, in the order of the YAML form."""


def fields_of(part: type[Any]) -> tuple[CardField, ...]:
    """The fields of a part of a card, in order; the first is its text without a label."""
    return _FIELDS[part]


def part_of(card: ModelCard, name: str) -> Any:
    """A part of a card by its name; empty: the card."""
    return getattr(card, name) if name else card
