"""Domain objects for unit tests: a whole one from the few facts that a test is about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from registrar_server.domain.lifecycle import Transition, TransitionKind
from registrar_server.domain.values import ModelKey, Stage, VersionState
from registrar_server.domain.versions import ArtifactLink, Facts, MetricSlice, ModelVersion, Notes

NOON = datetime(2025, 3, 15, 12, 0, tzinfo=UTC)
MODEL = ModelKey("default", "churn-predictor")


def made_version(
    number: int, metrics: Mapping[str, float], slices: tuple[MetricSlice, ...] = (), stage: Stage = Stage.NONE
) -> ModelVersion:
    """A READY version with these measures."""
    return ModelVersion(
        uid=f"{number:032x}",
        model=MODEL,
        model_uid="a" * 32,
        number=number,
        state=VersionState.READY,
        stage=stage,
        stage_time=NOON,
        facts=Facts(metrics=metrics, metric_slices=slices),
        notes=Notes(),
        artifact=ArtifactLink("s3://bucket/a", "b" * 32, f"sha256:{'c' * 64}"),
        run_id="",
        revision=1,
        created_by="local",
        create_time=NOON,
        update_time=NOON,
    )


def made_move(number: int, from_stage: Stage, to_stage: Stage, kind: TransitionKind) -> Transition:
    """One transition."""
    return Transition(f"{number:032x}", number, from_stage, to_stage, kind, "local", "", NOON)
