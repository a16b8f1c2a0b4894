"""Runs in MLflow: those the registry makes for metrics that come without a run, and those others logged."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

import structlog
from mlflow.entities import LifecycleStage, Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException

from registrar_server.adapters.mlflow.limits import MAX_TAG_CHARACTERS, UID_TAG, batches, fit_text
from registrar_server.adapters.mlflow.search import tag_filter
from registrar_server.adapters.mlflow.stores import DEFAULT_TENANT, Stores, TenantStores
from registrar_server.application.ports.mlflow_registry import DatasetInput, RunFacts
from registrar_server.domain.errors import Reason, RegistrarError

EXPERIMENT_NAME = "registrar"

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}")
_GIT_COMMIT_TAG = "mlflow.source.git.commit"
_DATASET_CONTEXT_TAG = "mlflow.data.context"

_log = structlog.get_logger(__name__)


class Runs:
    """The runs' half of `MlflowRegistry`; see there for what each method guarantees."""

    def __init__(self, stores: TenantStores, artifact_root: str) -> None:
        self._stores = stores
        self._artifact_root = artifact_root

    def check(self) -> None:
        """One read that reaches the database, whatever it finds."""
        with self._stores.call("check", DEFAULT_TENANT) as stores:
            stores.tracking.get_experiment_by_name(EXPERIMENT_NAME)

    def find(self, tenant: str, uid: str) -> str | None:
        """Finished runs only: one that was being filled when its process died is not all there."""
        with self._stores.call("find_run", tenant) as stores:
            experiment = stores.tracking.get_experiment_by_name(EXPERIMENT_NAME)
            if experiment is None:
                return None
            run = _find_tagged(stores, experiment.experiment_id, uid)
            return str(run.info.run_id) if run is not None and _is_finished(run) else None

    def create(
        self, tenant: str, model: str, uid: str, parameters: Mapping[str, str], metrics: Mapping[str, float]
    ) -> str:
        """Take up the run of this uid where a former attempt left off, or make one; fill and finish it."""
        with self._stores.call("create_run", tenant, model=model) as stores:
            experiment_id = self._ensure_experiment(stores)
            run = _find_tagged(stores, experiment_id, uid) or _start(stores, experiment_id, model, uid)
            run_id = str(run.info.run_id)
            if _is_finished(run):
                return run_id
            for some_parameters, some_metrics in batches(parameters, metrics):
                # The run's own time stamps: metrics logged again are the same points, not new ones.
                points = [Metric(key, float(value), run.info.start_time, 0) for key, value in some_metrics.items()]
                stores.tracking.log_batch(run_id, points, [Param(*item) for item in some_parameters.items()], [])
            stores.tracking.update_run_info(run_id, RunStatus.FINISHED, _now_milliseconds(), None)
            return run_id

    def read(self, tenant: str, run_id: str) -> RunFacts:
        with self._stores.call("read_run", tenant, absent=Reason.RUN_NOT_FOUND, run_id=run_id) as stores:
            run = fetch_run(stores, run_id)
        tags = dict(run.data.tags)
        inputs = run.inputs.dataset_inputs if run.inputs is not None else []
        return RunFacts(
            run_id=run_id,
            metrics=_finite(run_id, run.data.metrics),
            parameters=dict(run.data.params),
            tags=tags,
            git_commit=tags.get(_GIT_COMMIT_TAG, ""),
            datasets=tuple(_dataset(given) for given in inputs),
        )

    def _ensure_experiment(self, stores: Stores) -> str:
        experiment = stores.tracking.get_experiment_by_name(EXPERIMENT_NAME)
        if experiment is None:
            try:
                return str(stores.tracking.create_experiment(EXPERIMENT_NAME, self._experiment_location(stores)))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            experiment = stores.tracking.get_experiment_by_name(EXPERIMENT_NAME)
        elif experiment.lifecycle_stage == LifecycleStage.DELETED:
            stores.tracking.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _experiment_location(self, stores: Stores) -> str | None:
        """With workspaces MLflow takes no location, and makes one: `<its artifact root>/workspaces/<tenant>/<id>`."""
        return None if stores.workspaces is not None else f"{self._artifact_root}/workspaces/default/{EXPERIMENT_NAME}"


def fetch_run(stores: Stores, run_id: str) -> Any:
    """MLflow's own run entity; RUN_NOT_FOUND also when it was deleted, or no run can have such an id."""
    not_found = RegistrarError(Reason.RUN_NOT_FOUND, "there is no such run in MLflow", metadata={"run_id": run_id})
    if not _RUN_ID.fullmatch(run_id):
        raise not_found
    run = stores.tracking.get_run(run_id)
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        raise not_found
    return run


def _find_tagged(stores: Stores, experiment_id: str, uid: str) -> Any | None:
    """The run of a version; the finished one first, should a race have made several."""
    found = stores.tracking.search_runs(
        [experiment_id], tag_filter(UID_TAG, uid), ViewType.ACTIVE_ONLY, 10, ["attributes.start_time ASC"], None
    )
    return next(iter(sorted(found, key=lambda run: not _is_finished(run))), None)


def _start(stores: Stores, experiment_id: str, model: str, uid: str) -> Any:
    tags = {UID_TAG: uid, "registrar.model": model, "mlflow.user": "registrar", "mlflow.source.name": "registrar"}
    run_tags = [RunTag(key, fit_text(value, MAX_TAG_CHARACTERS)) for key, value in tags.items()]
    return stores.tracking.create_run(experiment_id, "registrar", _now_milliseconds(), run_tags, model)


def _is_finished(run: Any) -> bool:
    return bool(run.info.status == RunStatus.to_string(RunStatus.FINISHED))


def _now_milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _finite(run_id: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics that are numbers. MLflow keeps NaN as such and infinity as the largest double."""
    finite = {key: value for key, value in metrics.items() if math.isfinite(value) and abs(value) < sys.float_info.max}
    if len(finite) < len(metrics):
        _log.info("mlflow.metrics_skipped", run_id=run_id, keys=sorted(metrics.keys() - finite.keys()))
    return finite


def _dataset(given: Any) -> DatasetInput:
    tags = {tag.key: tag.value for tag in given.tags}
    dataset = given.dataset
    return DatasetInput(
        name=dataset.name,
        digest=dataset.digest,
        source=dataset.source or "",
        context=tags.get(_DATASET_CONTEXT_TAG, ""),
    )
