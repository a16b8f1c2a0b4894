"""What a caller can say about a new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from registrar.values import Documentation, MetricSlice, Parameter, Provenance, RiskAssessment, Signature


class VersionFields(TypedDict, total=False):
    """Keyword arguments of `push`, `register` and `check`; all are optional."""

    description: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    """Finite values on the whole evaluation data."""
    metric_slices: Sequence[MetricSlice]
    parameters: Mapping[str, Parameter]
    signature: Signature
    """Without one: as the bundle's `MLmodel` file says."""
    flavors: Sequence[str]
    semantic_version: str
    provenance: Provenance
    risk: RiskAssessment
    documentation: Documentation
    drift_monitor_id: str
    reuse_same_content: bool
    """Answer with the newest version that has the same bundle, metrics, slices and parameters, if there is one."""
