"""The main job, step by step. Imported after the environment was cleared: MLflow reads it when it is imported."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np

import registrar
from demo.server import Server, clean_environment
from demo.story import DemoFailed, Story
from demo.training import (
    SLICE_DIMENSION,
    Probabilities,
    Trained,
    load_tumours,
    log_run,
    predict_with,
    train,
    write_bundle,
)
from registrar import MetricGoal, MetricSlice, Provenance, Stage, TransitionKind

MODEL = "tumours"
_ROOT = Path(__file__).resolve().parent.parent
_GOALS = {
    "accuracy": MetricGoal.MAXIMIZE,
    "log_loss": MetricGoal.MINIMIZE,
    "recall": MetricGoal.MAXIMIZE,
    "roc_auc": MetricGoal.MAXIMIZE,
}


class MainJob:
    """Trains, pushes, registers, compares, promotes, resolves, pulls, predicts, rolls back."""

    def __init__(self, story: Story, server: Server, directory: Path) -> None:
        self._story = story
        self._server = server
        self._directory = directory
        self._data = load_tumours()
        self._commit, self._is_dirty = _git_state()

    def connect(self) -> registrar.Registry:
        """The registry, once it serves."""
        registry = registrar.connect(self._server.address())
        info = registry.server_info()
        self._story.fact("address", registry.target)
        self._story.fact("database", "SQLite, and MLflow's own beside it")
        self._story.fact("bundles", f"{info.artifact_root}, in the bundled S3 store")
        self._story.check(registry.is_serving(), "gRPC's health service says SERVING")
        return registry

    def run(self, registry: registrar.Registry) -> None:
        """All steps from the training on, in order."""
        story = self._story
        with story.step("Train two models that tell malignant tumours from benign ones"):
            first, second = self._train()
        with story.step("Make the model, and say which direction of each metric is better"):
            self._make_model(registry)
        with story.step("Record both trainings in MLflow, as any notebook does"):
            first_run, second_run = self._record(first, second)
        with story.step("Push the first as a bundle: streamed, verified, registered as version 1"):
            self._push(registry, first, first_run)
        with story.step("Register the second from its MLflow run: runs:/…/model becomes version 2"):
            self._register_run(registry, second, second_run)
        with story.step("Put version 1 into production"):
            self._serve_first(registry)
        with story.step("Compare both, on all data and on each slice"):
            self._compare(registry)
        with story.step("Move version 2 to staging, then to production"):
            self._promote(registry)
        with story.step("Resolve production, and pull it into a fresh folder"):
            pulled = self._pull(registry)
        with story.step("Predict with what was pulled: preprocessor, then classifier"):
            self._predict(pulled, second)
        with story.step("Load the same version with plain MLflow, in a process without Registrar"):
            self._load_plainly(registry, second)
        with story.step("Roll back, as if version 2 had turned out worse"):
            self._roll_back(registry)
        with story.step("Look who did what, when and why"):
            self._show_history(registry)

    def _train(self) -> tuple[Trained, Trained]:
        data = self._data
        first = train(data, "means only", measurements=10, strength=0.05)
        second = train(data, "all measurements", measurements=30, strength=1.0)
        self._story.fact("data", f"{len(data.train)} tumours to learn from, {len(data.test)} others to be judged by")
        self._story.table(
            [("on those others", first.title, second.title)]
            + [(name, f"{first.metrics[name]:.4f}", f"{second.metrics[name]:.4f}") for name in sorted(first.metrics)]
        )
        guessing = 1 - float(data.test_labels.mean())
        self._story.check(
            min(first.metrics["accuracy"], second.metrics["accuracy"]) > guessing,
            f"both know more than to say “benign” each time, which is right in {guessing:.0%}",
        )
        return first, second

    def _make_model(self, registry: registrar.Registry) -> None:
        registry.create_model(
            MODEL, description="Is a tumour malignant?", tags={"team": "oncology"}, metric_goals=_GOALS
        )
        # The server's first write makes MLflow's database, and with it the rule that runs' files go into the S3 store.
        registry.wait_mirrored()
        self._story.fact("goals", ", ".join(f"{name} {goal}" for name, goal in _GOALS.items()))
        model = registry.model(MODEL)
        self._story.check(model.latest_version is None, f"{MODEL} is there, without versions, and MLflow knows of it")

    def _record(self, first: Trained, second: Trained) -> tuple[str, str]:
        os.environ.update(self._server.mlflow_environment())
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        mlflow.set_experiment("tumours-training")
        first_run = log_run(first, self._data, git_commit=self._commit)
        folder = write_bundle(second, self._data, self._directory / "second")
        second_run = log_run(second, self._data, git_commit=self._commit, folder=folder)
        self._story.fact("runs", f"{first_run[:8]}… with metrics, {second_run[:8]}… with metrics and files")
        run = mlflow.get_run(second_run)
        self._story.check(
            run.info.status == "FINISHED" and run.data.metrics == second.metrics,
            "MLflow has finished runs with every metric and parameter",
        )
        return first_run, second_run

    def _push(self, registry: registrar.Registry, trained: Trained, run_id: str) -> None:
        folder = write_bundle(trained, self._data, self._directory / "first")
        provenance = Provenance(run_id=run_id, git_commit=self._commit, is_git_dirty=self._is_dirty)
        version = registry.push(
            folder,
            name=MODEL,
            description="Logistic regression on the ten means.",
            metrics=trained.metrics,
            metric_slices=_slices(trained),
            parameters=trained.parameters,
            provenance=provenance,
        )
        artifact = registry.artifact(version)
        files = {file.path: file for file in registry.files(version)}
        self._story.fact("version", f"{version}, {version.state}")
        self._story.fact("bundle", f"{artifact.file_count} files, {artifact.size_bytes:,} bytes")
        self._story.fact("digest", artifact.manifest_digest)
        self._story.fact("commit", self._commit[:12] or "none: this is no git checkout")
        self._story.check(version.version == 1, "it is version 1: the number is MLflow's")
        self._story.check(
            {path: file.sha256 for path, file in files.items()} == _digests(folder),
            f"every file has the digest of the one here, {files['preprocessor.skops'].type.name.lower()} and model too",
        )
        self._story.check(
            version.parameters == trained.parameters and version.metrics == trained.metrics,
            f"metrics and typed parameters read back equal: C={version.parameters['C']!r}",
        )
        again = registry.push(
            folder,
            name=MODEL,
            metrics=trained.metrics,
            metric_slices=_slices(trained),
            parameters=trained.parameters,
            provenance=provenance,
            reuse_same_content=True,
            progress=_refuse_to_push,
        )
        self._story.check(again.version == 1, "pushed again, no byte travels and the version is the same")

    def _register_run(self, registry: registrar.Registry, trained: Trained, run_id: str) -> None:
        version = registry.register(
            MODEL,
            run_artifact=f"runs:/{run_id}/model",
            description="Logistic regression on all thirty measurements.",
            metric_slices=_slices(trained),
        )
        origin = version.provenance
        self._story.fact("version", f"{version}, {version.state}, from run {origin.run_id[:8]}…")
        self._story.fact("data set", ", ".join(data.name for data in origin.training_data))
        self._story.check(version.version == 2, "it is version 2: the number is MLflow's")
        self._story.check(
            version.metrics == trained.metrics and version.parameters == trained.parameters,
            "the run's metrics and parameters arrived, with their types",
        )
        self._story.check(
            origin.run_id == run_id and origin.git_commit == self._commit and bool(origin.training_data),
            "so did the run's id, git commit and data set",
        )
        self._story.check(
            version.artifact_kind is registrar.ArtifactKind.BUNDLE
            and {file.path: file.sha256 for file in registry.files(version)} == _digests(self._directory / "second"),
            "its files were copied into a bundle of the registry's own, with the same digests",
        )

    def _serve_first(self, registry: registrar.Registry) -> None:
        registry.promote(f"{MODEL}/1", to=Stage.PRODUCTION, comment="the first that is good enough")
        self._story.check(registry.get(f"{MODEL}:production").version == 1, f"{MODEL}:production is version 1")

    def _compare(self, registry: registrar.Registry) -> None:
        comparison = registry.compare(MODEL, [1, 2])
        rows = [("", "version 1", "version 2", "difference", "better")]
        for metric in comparison.metrics:
            where = f"{metric.metric}, {metric.slice_value} tumours" if metric.slice_dimension else metric.metric
            before, after = metric.values
            winner = "both" if len(metric.winners) > 1 else f"version {metric.winners[0]}"
            rows.append((where, f"{before.value:.4f}", f"{after.value:.4f}", f"{after.delta or 0.0:+.4f}", winner))
        self._story.table(rows)
        self._story.fact("advice", comparison.recommendation)
        self._story.check(comparison.recommended_version == 2, "the registry recommends version 2")

    def _promote(self, registry: registrar.Registry) -> None:
        registry.promote(f"{MODEL}/2", to=Stage.STAGING, comment="better on all data")
        self._story.check(registry.get(f"{MODEL}:staging").version == 2, f"{MODEL}:staging is version 2")
        try:
            registry.promote(f"{MODEL}/2", to=Stage.PRODUCTION, expected_holder=7)
            refused = ""
        except registrar.Aborted as error:
            refused = error.reason
        self._story.check(
            refused == "STAGE_HOLDER_CHANGED", f"who believes that version 7 serves is refused: {refused}"
        )
        promotion = registry.promote(
            f"{MODEL}/2", to=Stage.PRODUCTION, expected_holder=1, comment="stood its test in staging"
        )
        self._story.check(
            [(version.version, version.stage) for version in promotion.displaced] == [(1, Stage.ARCHIVED)],
            "version 1 was archived in the same step",
        )
        holders = [version.version for version in registry.versions(MODEL, stage=Stage.PRODUCTION)]
        self._story.check(holders == [2], "production has one holder, version 2")

    def _pull(self, registry: registrar.Registry) -> Path:
        version = registry.get(f"{MODEL}:production", strong=True)
        folder = registry.pull(version, self._directory / "serving")
        self._story.fact("production", f"{version}, in production since {version.stage_time:%H:%M:%S} UTC")
        self._story.check(version.version == 2, f"{MODEL}:production is version 2")
        self._story.check(
            _contents(folder) == _contents(self._directory / "second"),
            f"all {len(_contents(folder))} files are, byte for byte, those that were trained",
        )
        return folder

    def _predict(self, folder: Path, trained: Trained) -> None:
        probabilities = predict_with(folder, self._data.test)
        found = int((probabilities[:, 1] > json.loads((folder / "thresholds.json").read_text())["malignant"]).sum())
        self._story.fact("predicted", f"{found} of {len(probabilities)} tumours are malignant")
        self._story.check(
            np.array_equal(probabilities, trained.probabilities),
            "every probability equals, to the last bit, the one at training",
        )

    def _load_plainly(self, registry: registrar.Registry, trained: Trained) -> None:
        registry.wait_mirrored()
        answer = self._ask_plain_mlflow(f"models:/{MODEL}@production", trained.features)
        predicted: Probabilities = np.asarray(answer["predictions"])
        self._story.fact("loaded", f'mlflow.pyfunc.load_model("models:/{MODEL}@production")')
        self._story.check(answer["has_registrar"] is False, "that process has imported nothing of Registrar")
        self._story.check(
            np.allclose(predicted, trained.probabilities, rtol=0, atol=1e-9), "and its predictions are the same"
        )

    def _ask_plain_mlflow(self, uri: str, features: list[str]) -> dict[str, object]:
        rows = self._directory / "rows.csv"
        self._data.test[features].to_csv(rows, index=False)
        asked = subprocess.run(
            [sys.executable, str(_ROOT / "demo" / "plain_mlflow.py"), uri, str(rows)],
            cwd=self._directory,
            env=clean_environment(self._server.mlflow_environment()),
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode != 0:
            raise DemoFailed(f"plain MLflow cannot load {uri}:\n{asked.stderr[-2000:]}")
        answer: dict[str, object] = json.loads(asked.stdout)
        return answer

    def _roll_back(self, registry: registrar.Registry) -> None:
        before = registry.artifact(f"{MODEL}/1").verify_time
        outcome = registry.rollback(MODEL, comment="wrong on new equipment: to be looked into")
        self._story.check(outcome.version.version == 1, "version 1 serves again")
        after = registry.artifact(f"{MODEL}/1").verify_time
        self._story.check(
            before is not None and after is not None and before < after, "its stored files were read and verified first"
        )
        self._story.check(
            registry.get(f"{MODEL}/2").stage is Stage.ARCHIVED and registry.artifact(f"{MODEL}/2").file_count > 0,
            "version 2 is archived, its bundle kept",
        )
        registry.wait_mirrored()
        pointed_at = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "production").version
        self._story.check(int(pointed_at) == 1, f"plain MLflow's models:/{MODEL}@production follows")

    def _show_history(self, registry: registrar.Registry) -> None:
        moves = list(registry.transitions(MODEL))
        rows = [("when", "who", "version", "from", "to", "why")]
        for move in moves:
            when = f"{move.transition_time:%H:%M:%S}"
            rows.append((when, move.actor, f"{move.version:^7}", move.from_stage, move.to_stage, _why(move)))
        self._story.table(rows, left=6)
        told = [(move.version, str(move.to_stage)) for move in reversed(moves)]
        self._story.check(
            sorted(told) == sorted(_EXPECTED_MOVES) and all(move.actor and move.transition_time for move in moves),
            f"all {len(_EXPECTED_MOVES)} moves are there, each with who and when",
        )


_EXPECTED_MOVES = [
    (1, "production"),
    (2, "staging"),
    (1, "archived"),
    (2, "production"),
    (2, "archived"),
    (1, "production"),
]


def _slices(trained: Trained) -> list[MetricSlice]:
    return [MetricSlice(SLICE_DIMENSION, size, metrics) for size, metrics in trained.slices.items()]


def _refuse_to_push(progress: registrar.Progress) -> None:
    if progress.action is registrar.Action.PUSH and progress.done_bytes > progress.skipped_bytes:
        raise DemoFailed("bytes were sent that the registry has")


def _why(move: registrar.Transition) -> str:
    match move.kind:
        case TransitionKind.DISPLACED:
            return f"(displaced by version {move.caused_by_version})"
        case TransitionKind.ROLLED_BACK_FROM:
            return f"(rolled back to version {move.caused_by_version})"
        case _:
            return move.comment


def _digests(folder: Path) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in _contents(folder).items()}


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _git_state() -> tuple[str, bool | None]:
    """The commit of this checkout, and whether it has changes; empty and None where there is none."""

    def ask(*words: str) -> str:
        found = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=False)
        return found.stdout.strip() if found.returncode == 0 else ""

    try:
        commit = ask("rev-parse", "HEAD")
        return (commit, bool(ask("status", "--porcelain"))) if commit else ("", None)
    except FileNotFoundError:
        return "", None
