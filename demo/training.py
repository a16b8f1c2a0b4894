"""Two real models: is a tumour malignant? Trained on the breast cancer data that scikit-learn brings along.

W. H. Wolberg, W. N. Street, O. L. Mangasarian: Breast Cancer Wisconsin (Diagnostic), 1995: 569 tumours, 30 measurements
of the nuclei of their cells. The first ten are means over the nuclei; the rest are their errors and worst values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
import sklearn
import skops  # type: ignore[import-untyped]
import skops.io  # type: ignore[import-untyped]
from mlflow.data.pandas_dataset import from_pandas
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

Probabilities = npt.NDArray[np.float64]

THRESHOLD = 0.5
SLICE_DIMENSION = "tumour_size"
_SIZES = {"small": (0.0, 12.0), "medium": (12.0, 15.0), "large": (15.0, float("inf"))}
"""Mean radius of the nuclei, from and below."""


@dataclass(frozen=True, slots=True)
class Tumours:
    """The data, split: what is learned from and what is judged by. 1 is malignant."""

    train: pd.DataFrame
    train_labels: pd.Series[int]
    test: pd.DataFrame
    test_labels: pd.Series[int]


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted pipeline (preprocessor, classifier) and what was measured of it on the test data."""

    title: str
    pipeline: Any
    features: list[str]
    parameters: Mapping[str, int | float | str | bool]
    metrics: Mapping[str, float]
    slices: Mapping[str, Mapping[str, float]]
    probabilities: Probabilities


def load_tumours() -> Tumours:
    """The split is fixed, so every run of the demo tells the same story."""
    measurements, is_benign = load_breast_cancer(return_X_y=True, as_frame=True)
    train, test, train_labels, test_labels = train_test_split(
        measurements, 1 - is_benign, test_size=0.3, random_state=3, stratify=is_benign
    )
    return Tumours(train, train_labels, test, test_labels)


def train(data: Tumours, title: str, *, measurements: int, strength: float) -> Trained:
    """Logistic regression on the first so many measurements, standardized."""
    features = list(data.train.columns[:measurements])
    parameters: dict[str, int | float | str | bool] = {
        "measurements": measurements,
        "C": strength,
        "max_iter": 500,
        "solver": "lbfgs",
        "is_standardized": True,
    }
    pipeline = Pipeline(
        [("preprocessor", StandardScaler()), ("classifier", LogisticRegression(C=strength, max_iter=500))]
    ).fit(data.train[features], data.train_labels)
    probabilities: Probabilities = pipeline.predict_proba(data.test[features])
    labels, radius = data.test_labels.to_numpy(), data.test["mean radius"].to_numpy()
    return Trained(
        title=title,
        pipeline=pipeline,
        features=features,
        parameters=parameters,
        metrics={
            **_metrics(labels, probabilities),
            "recall": float(recall_score(labels, probabilities[:, 1] > THRESHOLD)),
            "roc_auc": float(roc_auc_score(labels, probabilities[:, 1])),
        },
        slices={
            size: _metrics(labels[is_inside], probabilities[is_inside])
            for size, (low, high) in _SIZES.items()
            for is_inside in [(radius >= low) & (radius < high)]
        },
        probabilities=probabilities,
    )


def write_bundle(trained: Trained, data: Tumours, folder: Path) -> Path:
    """All that serving needs, in one folder: MLflow's model, the preprocessor by itself, and what explains both."""
    inputs = data.test[trained.features]
    mlflow.sklearn.save_model(
        trained.pipeline,
        str(folder),
        signature=infer_signature(inputs, trained.probabilities),
        pyfunc_predict_fn="predict_proba",
        pip_requirements=[
            f"mlflow=={mlflow.__version__}",
            f"scikit-learn=={sklearn.__version__}",
            f"skops=={skops.__version__}",
            f"pandas=={pd.__version__}",
        ],
    )
    skops.io.dump(trained.pipeline.named_steps["preprocessor"], folder / "preprocessor.skops")
    _write_json(folder / "features.json", trained.features)
    _write_json(folder / "thresholds.json", {"malignant": THRESHOLD})
    _write_json(folder / "metrics.json", {"test": trained.metrics, SLICE_DIMENSION: trained.slices})
    (folder / "README.md").write_text(
        f"# Is a tumour malignant?\n\n{trained.title}: logistic regression on {len(trained.features)} measurements of the "
        "nuclei of its cells.\nA demonstration on public data; not for patients.\n",
        encoding="utf-8",
    )
    return folder


def predict_with(folder: Path, measurements: pd.DataFrame) -> Probabilities:
    """Predict with a bundle's own files, preprocessor and classifier one after the other, as a service would."""
    features: list[str] = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    preprocessor = skops.io.load(folder / "preprocessor.skops")
    classifier = mlflow.sklearn.load_model(str(folder)).named_steps["classifier"]
    probabilities: Probabilities = classifier.predict_proba(preprocessor.transform(measurements[features]))
    return probabilities


def log_run(trained: Trained, data: Tumours, *, git_commit: str, folder: Path | None = None) -> str:
    """Record a training in MLflow, as any notebook does; answers the run's id. `folder`: logged as `model`."""
    with mlflow.start_run(run_name=trained.title) as run:
        mlflow.log_params(dict(trained.parameters))
        mlflow.log_metrics(dict(trained.metrics))
        mlflow.log_input(from_pandas(data.train, name="breast-cancer-train"), context="training")
        if git_commit:
            mlflow.set_tag("mlflow.source.git.commit", git_commit)
        if folder is not None:
            mlflow.log_artifacts(str(folder), "model")
    run_id: str = run.info.run_id
    return run_id


def _metrics(labels: npt.NDArray[np.integer[Any]], probabilities: Probabilities) -> dict[str, float]:
    return {
        "accuracy": float(accuracy_score(labels, probabilities[:, 1] > THRESHOLD)),
        "log_loss": float(log_loss(labels, probabilities, labels=[0, 1])),
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
