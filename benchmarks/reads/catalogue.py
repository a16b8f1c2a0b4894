"""What the registry holds in these benchmarks: models with a hundred versions each, the same at every run.

Models are counted from 0, versions from 1. Every value follows from the two numbers, so that whoever fills a database and
whoever asks for something in it need not speak to each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from registrar_server.domain.versions import Dataset, Facts, MetricSlice, Notes, Provenance, Signature, TensorSpec

VERSIONS_EACH = 100
TEAMS = tuple(f"team{number:02d}" for number in range(20))
"""Each has one model in twenty: a tag of 5 % of all versions."""
TASKS = ("classification", "regression", "ranking", "forecast")
REGIONS = ("eu", "us", "apac", "latam", "africa")
WORDS = tuple(
    f"{first}{second}" for first in ("bo", "ka", "li", "mu", "ter") for second in ("rin", "dal", "vex", "pon")
)
CREATOR = "ci@example.com"


@dataclass(frozen=True)
class Step:
    """One change in the life of a model: `kind` is `register`, `stage` or `alias`."""

    kind: str
    version: int
    from_stage: str = "none"
    to_stage: str = "none"
    displaced: int = 0
    """Version that loses the stage, or that the alias pointed at before; 0: none."""


def model_name(model: int) -> str:
    """Begins with its team."""
    return f"{TEAMS[model % len(TEAMS)]}-{TASKS[model % len(TASKS)]}-{model:04d}"


def semantic_version(version: int) -> str:
    """Rises with the number: 0.0.1 to 9.9.0 and so on, with a pre-release now and then."""
    text = f"{version // 100 + 1}.{version // 10 % 10}.{version % 10}"
    return f"{text}-rc.1" if version % 10 == 9 else text


def steps(versions: int) -> Iterator[Step]:
    """The life of every model: every tenth version is staged and later takes production over, and `champion` with it."""
    production = staging = 0
    for version in range(1, versions + 1):
        yield Step("register", version)
        if version % 10 == 5:
            yield Step("stage", version, "none", "staging")
            staging = version
        if version % 10 == 0 and staging:
            yield Step("stage", staging, "staging", "production", production)
            yield Step("alias", staging, displaced=production)
            production, staging = staging, 0
    yield Step("stage", versions, "none", "staging")


def holders(versions: int) -> dict[str, int]:
    """Who holds staging, production and the alias `champion` after all steps; 0: nobody."""
    found = {"staging": 0, "production": 0, "champion": 0}
    for step in steps(versions):
        if step.kind == "stage":
            found[step.to_stage] = step.version
        elif step.kind == "alias":
            found["champion"] = step.version
    return found


def facts(model: int, version: int) -> Facts:
    """Five metrics, two slices, four parameters, a signature, provenance."""
    score = share(model, version)
    return Facts(
        metrics={"f1": score, "auc": 0.5 + score / 2, "precision": score, "recall": 1 - score / 3, "loss": 1 - score},
        metric_slices=tuple(
            MetricSlice("region", region, "holdout", {"f1": score * 0.9}) for region in (REGIONS[0], REGIONS[1])
        ),
        parameters={"depth": 2 + version % 9, "rate": 0.01 * (1 + model % 7), "booster": "gbtree", "shuffle": True},
        signature=Signature(
            (TensorSpec("features", "float32", (-1, 64)), TensorSpec("weight", "float32", (-1,), is_optional=True)),
            (TensorSpec("score", "float32", (-1, 2)),),
        ),
        flavors=("sklearn",),
        semantic_version=semantic_version(version),
        provenance=Provenance(
            run_id=digest(model, version, "run")[:32],
            git_commit=digest(model, version, "commit")[:40],
            is_git_dirty=False,
            git_repository="https://git.example.com/ml/models",
            ci_build=f"build-{model:04d}-{version:03d}",
            training_data=(Dataset("accounts", "s3://data/accounts", digest(model, version // 10, "data"), "2025-01"),),
        ),
    )


def notes(model: int, version: int) -> Notes:
    """Four tags: of a fifth, a quarter and a twentieth of all, and one that no other version has."""
    words = [WORDS[number % len(WORDS)] for number in (model, version, model * version)]
    return Notes(
        description=f"Gradient boosting on the accounts of the last quarter, {' '.join(words)} {word_of(model)}",
        # In the order in which the database's documents have them.
        tags={
            "region": REGIONS[version % len(REGIONS)],
            "task": TASKS[model % len(TASKS)],
            "team": TEAMS[model % len(TEAMS)],
            "ticket": ticket(model, version),
        },
    )


def ticket(model: int, version: int) -> str:
    """Tag that one version has."""
    return f"ML-{model:04d}-{version:03d}"


def word_of(model: int) -> str:
    """Word that stands in the descriptions of one model's versions."""
    return f"project{model:04d}"


def share(model: int, version: int) -> float:
    """Evenly distributed between 0 and 1, and the same at every run."""
    return int(digest(model, version, "share")[:8], 16) / 2**32


def digest(model: int, version: int, of: str) -> str:
    """64 hex digits."""
    return hashlib.sha256(f"{model} {version} {of}".encode()).hexdigest()


def uid(kind: int, model: int, version: int = 0) -> str:
    """32 hex digits."""
    return f"{kind:04x}{model:012x}{version:016x}"
