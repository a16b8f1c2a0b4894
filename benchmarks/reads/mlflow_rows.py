"""The same catalogue in MLflow's own tables: `python -m benchmarks.reads.mlflow_rows URL MODELS VERSIONS`.

A process of its own, so that nobody else loads MLflow. Metrics, parameters and signatures are not in its registry: they
belong to runs, which its registry's calls do not read.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.reads.bulk import Row, write
from benchmarks.reads.catalogue import CREATOR, facts, holders, model_name, notes
from benchmarks.reads.rows import moment, stages_after
from benchmarks.servers import ROOT, clean_environment

_STAGES = {"none": "None", "staging": "Staging", "production": "Production", "archived": "Archived"}


def fill_mlflow(url: str, *, model_count: int, versions: int) -> None:
    """Make MLflow's schema and fill it."""
    command = [sys.executable, "-m", "benchmarks.reads.mlflow_rows", url, str(model_count), str(versions)]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run(command, cwd=ROOT, env=clean_environment(settings), check=True, capture_output=True)


def _fill(url: str, model_count: int, versions: int) -> None:
    from mlflow.store.model_registry.dbmodels import models as tables
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    engine = SqlAlchemyStore(url).engine  # type: ignore[no-untyped-call]
    with engine.begin() as connection:
        write(connection, tables.SqlRegisteredModel.__table__, map(_model, range(model_count)))
        write(connection, tables.SqlModelVersion.__table__, _versions(model_count, versions))
        write(connection, tables.SqlModelVersionTag.__table__, _tags(model_count, versions))
        champion = holders(versions)["champion"]
        of = {"workspace": "default", "alias": "champion", "version": champion}
        rows = ({**of, "name": model_name(model)} for model in range(model_count) if champion)
        write(connection, tables.SqlRegisteredModelAlias.__table__, rows)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def _model(model: int) -> Row:
    time = moment(model) // 1_000
    description = f"What {model_name(model)} is for, in a sentence or two"
    times = {"creation_time": time, "last_updated_time": time}
    return {"workspace": "default", "name": model_name(model), "description": description, **times}


def _versions(model_count: int, versions: int) -> Iterator[Row]:
    stages = stages_after(versions)
    for version in range(1, versions + 1):
        for model in range(model_count):
            time = moment(version * 1_000 + model) // 1_000
            source = f"s3://models/{model_name(model)}"
            yield {
                "workspace": "default",
                "name": model_name(model),
                "version": version,
                "creation_time": time,
                "last_updated_time": time,
                "description": notes(model, version).description,
                "user_id": CREATOR,
                "current_stage": _STAGES[stages.get(version, ("none", 0))[0]],
                "source": source,
                "storage_location": source,
                "run_id": facts(model, version).provenance.run_id,
                "status": "READY",
            }


def _tags(model_count: int, versions: int) -> Iterator[Row]:
    for version in range(1, versions + 1):
        for model in range(model_count):
            for key, value in notes(model, version).tags.items():
                of = {"workspace": "default", "name": model_name(model), "version": version}
                yield {**of, "key": key, "value": value}


if __name__ == "__main__":
    _fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
