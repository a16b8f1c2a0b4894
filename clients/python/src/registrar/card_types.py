"""Model cards (Mitchell et al., 2019, https://arxiv.org/abs/1810.03993)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from registrar.values import CardSection


class CardFormat(StrEnum):
    """How a card is written down."""

    MARKDOWN = "markdown"
    """Markdown with YAML front matter, as on the Hugging Face Hub."""
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


@dataclass(frozen=True, slots=True)
class QuantitativeAnalyses:
    """How good a model is for whom. The registry sorts groups, and drops those without metrics."""

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
    """What a version is, what it is for and not for, how good it is and for whom, and what can go wrong.

    `additional_fields` has what has no field here, as JSON texts by the place in the YAML form (RFC 6901), so that nothing is
    lost of a card that was written elsewhere. White space at both ends of texts is dropped by the registry.
    """

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


@dataclass(frozen=True, slots=True)
class ModelCardRevision:
    """One revision of the card of a version; `card` is None in lists. `uri` is empty until the object is in the store.

    `sections` are those of the nine that say something, in their order. `is_prefilled`: the registry filled it in.
    """

    model: str
    version: int
    revision: int
    digest: str
    etag: str
    card: ModelCard | None
    sections: tuple[CardSection, ...]
    author: str
    is_prefilled: bool
    create_time: datetime
    event_sequence: int
    uri: str
