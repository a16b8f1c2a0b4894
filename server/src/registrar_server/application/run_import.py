"""Take the files and facts of an MLflow run into a PENDING version: `runs:/<run id>/<path>`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from registrar_server.application.bundle_writer import BundleWriter, WritingBundle
from registrar_server.application.mlmodel import MLMODEL, MLMODEL_BYTES, parse_mlmodel
from registrar_server.application.ports.database import Database, Origin
from registrar_server.application.ports.mlflow_registry import DatasetInput, MlflowRegistry, RunFacts, RunFile
from registrar_server.application.requirements import require_registrable
from registrar_server.application.versions import reread
from registrar_server.domain import limits
from registrar_server.domain.access import Caller
from registrar_server.domain.bundles import Bundle, BundleFile, Manifest, collisions, guess_type, path_problem
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import GIT_COMMIT, RUN_ARTIFACT, Parameter, VersionState
from registrar_server.domain.versions import ArtifactLink, Dataset, Facts, ModelVersion, Provenance, content_digest

_LEASE_BLOCK_BYTES = 64 * 2**20


class RunImport:
    """Copies a run's artifact into a bundle: read once to hash it, a second time to store it. No temporary file."""

    def __init__(self, database: Database, mlflow: MlflowRegistry, writer: BundleWriter) -> None:
        self._database = database
        self._mlflow = mlflow
        self._writer = writer

    def take_in(self, version: ModelVersion, run_artifact: str, *, keep_lease: Callable[[], None]) -> None:
        """Give the version its bundle, and the run's facts where the caller said nothing else. Can be repeated.

        RUN_NOT_FOUND, ARTIFACT_NOT_FOUND, SOURCE_NOT_ALLOWED, and what `require_registrable` refuses. `keep_lease` is called at least once a block of 64 MiB.
        """
        matched = RUN_ARTIFACT.fullmatch(run_artifact)
        if matched is None:
            raise RegistrarError(Reason.ARTIFACT_NOT_FOUND, f"{run_artifact} is not the address of a run's artifact")
        run_id, path = matched.groups()
        tenant = version.model.tenant
        run = self._mlflow.read_run(tenant, run_id)
        files = self._mlflow.list_run_files(tenant, run_id, path)
        manifest, mlmodel = self._read_manifest(tenant, files, keep_lease)
        bundle = self._store(version, manifest, files, keep_lease)
        facts = merge_facts(version.facts, run)
        flavors, signature = parse_mlmodel(mlmodel)
        facts = replace(facts, flavors=facts.flavors or flavors, signature=facts.signature or signature)
        link = ArtifactLink(bundle.uri, bundle.uid, bundle.manifest_digest)
        with self._database.writing() as transaction:
            transaction.models.lock(version.model)
            # Copying took long: whoever took the task over may have ended it, and what is READY never changes.
            if reread(transaction, version.uid).state is VersionState.PENDING:
                digest = content_digest(bundle.manifest_digest, facts)
                model = version.model
                require_registrable(transaction, model, version.model_uid, facts, version.notes, is_run_awaited=False)
                transaction.versions.set_artifact(version.uid, link, facts, digest)
                transaction.lineage.complete(
                    Origin(version.uid, model.tenant, "", facts.provenance, version.create_time)
                )

    def _read_manifest(
        self, tenant: str, files: Sequence[RunFile], keep_lease: Callable[[], None]
    ) -> tuple[Manifest, bytes]:
        """Hash every file; the manifest, and the content of the MLmodel file."""
        _require_good_paths([file.path for file in files])
        hashed: list[BundleFile] = []
        mlmodel = b""
        for file in files:
            digest, size_bytes = hashlib.sha256(), 0
            with self._mlflow.open_run_file(tenant, file) as reader:
                for block in _kept(reader, keep_lease):
                    digest.update(block)
                    size_bytes += len(block)
                    if file.path == MLMODEL and size_bytes <= MLMODEL_BYTES:
                        mlmodel += block
            hashed.append(BundleFile(file.path, size_bytes, digest.hexdigest(), guess_type(file.path)))
        return Manifest(tuple(hashed)), mlmodel

    def _store(
        self, version: ModelVersion, manifest: Manifest, files: Sequence[RunFile], keep_lease: Callable[[], None]
    ) -> Bundle:
        caller = Caller(version.created_by, version.model.tenant)
        with self._writer.open(caller, version.model, manifest) as writing:
            if writing.existing is not None:
                return writing.existing
            for file, source in zip(manifest.files, files, strict=True):
                writing.next_file(file)
                self._copy(version.model.tenant, source, writing, keep_lease)
            bundle, _ = writing.commit()
            return bundle

    def _copy(self, tenant: str, source: RunFile, writing: WritingBundle, keep_lease: Callable[[], None]) -> None:
        with self._mlflow.open_run_file(tenant, source) as reader:
            for block in _kept(reader, keep_lease):
                writing.write(block)


def merge_facts(said: Facts, run: RunFacts) -> Facts:
    """What the caller said, completed by what the run knows; the caller's word wins, name by name."""
    training = tuple(
        _dataset(data) for data in run.datasets if "valid" not in data.context and "eval" not in data.context
    )
    validation = tuple(_dataset(data) for data in run.datasets if "valid" in data.context or "eval" in data.context)
    provenance = said.provenance
    commit = run.git_commit if GIT_COMMIT.fullmatch(run.git_commit) else ""
    merged: Provenance = replace(
        provenance,
        run_id=run.run_id,
        git_commit=provenance.git_commit or commit,
        git_repository=provenance.git_repository or run.tags.get("mlflow.source.git.repoURL", ""),
        training_data=provenance.training_data or training[: limits.DATASETS],
        validation_data=provenance.validation_data or validation[: limits.DATASETS],
    )
    parameters: dict[str, Parameter] = {name: typed_parameter(text) for name, text in run.parameters.items()}
    return replace(
        said,
        metrics={**run.metrics, **said.metrics},
        parameters={**parameters, **said.parameters},
        provenance=merged,
    )


def typed_parameter(text: str) -> Parameter:
    """A run's parameter with its type, where the text is exactly how that type is written; else the text.

    So `200` is an integer and `0.05` a double, and `1.10` or `007`, which may be names, stay what they are.
    """
    if text in ("True", "False", "true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if str(value) == text and (math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**63):
            return value
    return text


def _dataset(data: DatasetInput) -> Dataset:
    size = limits.LABEL_CHARACTERS
    return Dataset(name=data.name[:size], uri=data.source[: limits.URI_CHARACTERS], digest=data.digest[:size])


def _require_good_paths(paths: Sequence[str]) -> None:
    problems = [f"{path}: {problem}" for path in paths if (problem := path_problem(path))]
    problems += [f"{paths[index]}: {problem}" for index, problem in collisions(paths)]
    if len(paths) > limits.BUNDLE_FILES:
        problems.append(f"{len(paths)} files, at most {limits.BUNDLE_FILES}")
    if problems:
        raise RegistrarError(
            Reason.SOURCE_NOT_ALLOWED, f"the run's files cannot be a bundle: {'; '.join(problems[:10])}"
        )


def _kept(blocks: Iterable[bytes], keep_lease: Callable[[], None]) -> Iterator[bytes]:
    """The blocks, with the lease kept alive in between."""
    keep_lease()
    passed = 0
    for block in blocks:
        passed += len(block)
        if passed >= _LEASE_BLOCK_BYTES:
            keep_lease()
            passed = 0
        yield block
