"""Model cards: what is said about a version for those who use, judge and answer for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

CARD_BYTES = 256 * 2**10
"""Of a card as text, and of its content as JSON."""
CARD_SECTIONS = 200
"""Sections beyond the nine."""
CARD_FIELDS = 1_000
"""Fields that have no place in the typed card."""
REGISTRY_AUTHOR = "registrar"
"""Who writes the first revision."""


class CardSection(StrEnum):
    """The nine sections of a model card (Mitchell et al., 2019, https://arxiv.org/abs/1810.03993), in their order."""

    MODEL_DETAILS = "model_details"
    INTENDED_USE = "intended_use"
    FACTORS = "factors"
    METRICS = "metrics"
    EVALUATION_DATA = "evaluation_data"
    TRAINING_DATA = "training_data"
    QUANTITATIVE_ANALYSES = "quantitative_analyses"
    ETHICAL_CONSIDERATIONS = "ethical_considerations"
    CAVEATS_AND_RECOMMENDATIONS = "caveats_and_recommendations"


class CardFormat(StrEnum):
    """How a card is written down."""

    HUGGING_FACE_MARKDOWN = "hugging_face_markdown"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a model is."""

    description: str = ""
    name: str = ""
    version: str = ""
    type: str = ""
    license: str = ""
    contact: str = ""
    training_date: str = ""
    framework: str = ""
    registry_uri: str = ""
    source: str = ""
    environment: str = ""
    parameters: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    citation: str = ""


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """What a model is for."""

    primary_use: str = ""
    intended_users: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Factors:
    """What performance may depend on."""

    description: str = ""
    groups: tuple[str, ...] = ()
    instrumentation: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardMetrics:
    """How good a model is on the whole evaluation data; finite values by name."""

    description: str = ""
    overall: Mapping[str, float] = field(default_factory=dict)
    decision_thresholds: tuple[str, ...] = ()
    variation: str = ""


@dataclass(frozen=True, slots=True)
class CardDataset:
    """One data set."""

    name: str = ""
    uri: str = ""
    digest: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class CardData:
    """What a model was trained on or judged with."""

    description: str = ""
    size: str = ""
    preprocessing: str = ""
    note: str = ""
    datasheet_uri: str = ""
    datasets: tuple[CardDataset, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupMetrics:
    """How good a model is for one group; an empty data set is the whole evaluation data."""

    dimension: str
    group: str
    dataset: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells groups apart, and orders them."""
        return self.dimension, self.group, self.dataset


@dataclass(frozen=True, slots=True)
class QuantitativeAnalyses:
    """How good a model is for whom. Groups are sorted by their keys, and have metrics."""

    description: str = ""
    per_group: tuple[GroupMetrics, ...] = ()
    unitary_results: str = ""
    intersectional_results: str = ""


@dataclass(frozen=True, slots=True)
class EthicalConcern:
    """One harm that a model could do."""

    concern: str = ""
    mitigation: str = ""


@dataclass(frozen=True, slots=True)
class EthicalConsiderations:
    """What harm a model could do."""

    statement: str = ""
    concerns: tuple[EthicalConcern, ...] = ()
    bias_assessment: str = ""
    risk_assessment: str = ""


@dataclass(frozen=True, slots=True)
class CaveatsAndRecommendations:
    """What else is to be known."""

    description: str = ""
    limitations: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    recommendations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HuggingFaceMetadata:
    """What the front matter of a card says on the Hugging Face Hub."""

    language: tuple[str, ...] = ()
    license: str = ""
    library_name: str = ""
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    base_model: tuple[str, ...] = ()
    pipeline_tag: str = ""


@dataclass(frozen=True, slots=True)
class AdditionalSection:
    """A section beyond the nine; a chapter is one level above."""

    heading: str
    text: str = ""
    is_chapter: bool = False


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A card. `additional_fields` has JSON texts by the place in the YAML form (RFC 6901)."""

    title: str = ""
    summary: str = ""
    model_card_version: str = ""
    last_updated: str = ""
    approved_by: str = ""
    model_details: ModelDetails = ModelDetails()
    intended_use: IntendedUse = IntendedUse()
    factors: Factors = Factors()
    metrics: CardMetrics = CardMetrics()
    evaluation_data: CardData = CardData()
    training_data: CardData = CardData()
    quantitative_analyses: QuantitativeAnalyses = QuantitativeAnalyses()
    ethical_considerations: EthicalConsiderations = EthicalConsiderations()
    caveats_and_recommendations: CaveatsAndRecommendations = CaveatsAndRecommendations()
    hugging_face: HuggingFaceMetadata = HuggingFaceMetadata()
    additional_sections: tuple[AdditionalSection, ...] = ()
    additional_fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def sections(self) -> frozenset[CardSection]:
        """Those of the nine that say something."""
        return frozenset(section for section in CardSection if getattr(self, section.value) != _EMPTY[section])


_EMPTY: Mapping[CardSection, object] = {
    CardSection.MODEL_DETAILS: ModelDetails(),
    CardSection.INTENDED_USE: IntendedUse(),
    CardSection.FACTORS: Factors(),
    CardSection.METRICS: CardMetrics(),
    CardSection.EVALUATION_DATA: CardData(),
    CardSection.TRAINING_DATA: CardData(),
    CardSection.QUANTITATIVE_ANALYSES: QuantitativeAnalyses(),
    CardSection.ETHICAL_CONSIDERATIONS: EthicalConsiderations(),
    CardSection.CAVEATS_AND_RECOMMENDATIONS: CaveatsAndRecommendations(),
}


@dataclass(frozen=True, slots=True)
class CardState:
    """What gates and approvals need to know of the last revision of a version's card."""

    revision: int
    digest: str
    """SHA-256 of its content, `sha256:` and hex; another for each revision."""
    sections: frozenset[CardSection]
    """Those that say something."""
    author: str
    is_prefilled: bool
    """Whether the registry wrote it, and nobody since."""
    time: datetime


@dataclass(frozen=True, slots=True)
class CardRevision:
    """One revision of the card of a version. `content` is the card as canonical JSON; empty where it was not asked for."""

    version_uid: str
    state: CardState
    content: str
    sequence: int
    """That of its event."""
    is_stored: bool = False
    """Whether it lies in the object store."""

    @property
    def etag(self) -> str:
        """Another for each revision."""
        return f"c{self.state.revision}"


def card_key(tenant: str, model_uid: str, number: int, revision: int) -> str:
    """Where a revision lies below the artifact root, as Markdown."""
    return f"{tenant}/{model_uid}/cards/{number}/{revision}"
