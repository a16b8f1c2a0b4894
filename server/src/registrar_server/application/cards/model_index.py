"""The `model-index` of Hugging Face's front matter: what the hub's leaderboards and badges read.

Format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md. It is made of the card's metrics each time; one that
somebody else wrote is kept as it is, and none is made beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registrar_server.domain.cards import ModelCard

MODEL_INDEX = "model-index"
_DATASET_TYPE = "registrar-model-card"


def model_index(card: ModelCard) -> list[dict[str, Any]]:
    """What the metrics of a card are there; nothing without metrics."""
    if not card.metrics.overall:
        return []
    dataset = next((data.name for data in card.evaluation_data.datasets if data.name), "evaluation data")
    metrics = [{"type": name, "value": value, "name": name} for name, value in sorted(card.metrics.overall.items())]
    result = {
        "task": {"type": card.hugging_face.pipeline_tag or "other"},
        "dataset": {"type": _DATASET_TYPE, "name": dataset},
        "metrics": metrics,
    }
    return [{"name": card.model_details.name or card.title or "model", "results": [result]}]


def is_made_here(index: object) -> bool:
    """Whether `model_index` made it, whatever its values are."""
    if not isinstance(index, list) or len(index) != 1 or not isinstance(index[0], Mapping):
        return False
    results = index[0].get("results")
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], Mapping):
        return False
    dataset = results[0].get("dataset")
    return isinstance(dataset, Mapping) and dataset.get("type") == _DATASET_TYPE
