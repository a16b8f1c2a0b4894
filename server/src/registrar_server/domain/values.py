"""Names, references and small value types that everything else speaks in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from registrar_server.domain.semantic_versions import SemanticRange

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ALIAS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
# As MLflow's workspaces, less the names of folders that MLflow itself makes below the artifact root.
TENANT_NAME = re.compile(r"(?=.{2,63}\Z)(?!\d+\Z|workspaces\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
UID = re.compile(r"[0-9a-f]{32}")
SHA256 = re.compile(r"[0-9a-f]{64}")
MANIFEST_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
GIT_COMMIT = re.compile(r"[0-9a-f]{7,64}")
RUN_ARTIFACT = re.compile(r"runs:/([A-Za-z0-9_-]{1,64})/(.{1,500})", re.DOTALL)

DEFAULT_TENANT = "default"

Parameter: TypeAlias = bool | int | float | str
"""A training parameter with its type. `bool` is asked for before `int`, of which it is a subclass."""


class Stage(StrEnum):
    """Where a version stands in its life."""

    NONE = "none"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


class VersionState(StrEnum):
    """Whether a version can be used."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class MetricGoal(StrEnum):
    """Which direction of a metric is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class RiskLevel(StrEnum):
    """How much harm a wrong model could do."""

    LOW = "low"
    LIMITED = "limited"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class ModelKey:
    """Names a model: a tenant that exists or not, and a name in it."""

    tenant: str
    name: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}"


@dataclass(frozen=True, slots=True)
class ByNumber:
    """Selects the version with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class ByAlias:
    """Selects the version an alias points at."""

    alias: str


@dataclass(frozen=True, slots=True)
class ByStage:
    """Selects the version that holds a stage."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class BySemanticVersion:
    """Selects the version with this semantic version."""

    semantic_version: str


@dataclass(frozen=True, slots=True)
class BySemanticRange:
    """Selects the READY, living version whose semantic version is the highest in a range."""

    semantic_range: SemanticRange


@dataclass(frozen=True, slots=True)
class ByUid:
    """Selects the version with this uid, numbered or not."""

    uid: str


Selector: TypeAlias = ByNumber | ByAlias | ByStage | BySemanticVersion | BySemanticRange | ByUid


@dataclass(frozen=True, slots=True)
class VersionRef:
    """Names one version of a model."""

    model: ModelKey
    selector: Selector
