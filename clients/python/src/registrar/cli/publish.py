"""`push`, `abort` and `register`: new versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registrar.cli.description import describes_version
from registrar.cli.documents import print_json
from registrar.cli.exits import tell
from registrar.cli.session import AsJson, Name, Quiet, RequestId, Server, Tenant, open_registry
from registrar.cli.text import plain
from registrar.fields import VersionFields
from registrar.types import ModelVersion, RegistrationAdvice

if TYPE_CHECKING:
    from registrar.client import Registry

AUTOMATIC = "auto"
_CHANGES = 3
"""Differences of signatures that are named."""


@describes_version
def push(
    fields: VersionFields,
    *,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="File or folder to push.")],
    name: Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="Model that it is a version of.")],
    direct: Annotated[
        bool, typer.Option("--direct", help="Straight to the store, which must be reachable from here.")
    ] = False,
    request_id: RequestId = None,
    quiet: Quiet = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Push a file or folder as a model's next version.

    What the registry has already is not sent again. A push that was interrupted goes on where it stopped when the same
    command is given again. Prints the version, such as churn-predictor/3.
    """
    progress = False if quiet else None
    with open_registry(server, tenant) as registry:
        if _is_automatic(fields, request_id):
            bundle = registry.upload(path, name=name, direct=direct, progress=progress)
            version = _register_next(registry, name, fields, artifact_id=bundle.id)
        else:
            version = registry.push(path, name=name, direct=direct, progress=progress, request_id=request_id, **fields)
    _print_version(version, as_json)


def abort(
    *,
    upload: Annotated[str, typer.Argument(metavar="UPLOAD", help="Its id, as the interrupted push said it.")],
    server: Server = None,
    tenant: Tenant = None,
) -> None:
    """Give an interrupted push up.

    What it has sent is cleared away, for everybody who pushes the same files. Nothing happens when it is gone already.
    """
    with open_registry(server, tenant) as registry:
        registry.abort_upload(upload)


@describes_version
def register(
    fields: VersionFields,
    *,
    name: Name,
    artifact: Annotated[str | None, typer.Option("--artifact", metavar="ID", help="Bundle that was pushed.")] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="runs:/ID/PATH", help="Artifact of an MLflow run; it is copied.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")] = False,
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a version of a bundle or an MLflow run.

    The bundle was pushed before; a run's artifact is copied into one. Prints the version.
    """
    if (artifact is None) == (run is None):
        raise typer.BadParameter("give either --artifact or --run")
    with open_registry(server, tenant) as registry:
        if dry_run:
            advice = registry.check(name, artifact_id=artifact, run_artifact=run, **_without_automatic(fields))
            print(f"{name}: nothing speaks against it")
            tell(*_advice_lines(advice, fields.get("semantic_version", "")))
            return
        if _is_automatic(fields, request_id):
            version = _register_next(registry, name, fields, artifact_id=artifact, run_artifact=run)
        else:
            version = registry.register(name, artifact_id=artifact, run_artifact=run, request_id=request_id, **fields)
    _print_version(version, as_json)


def _is_automatic(fields: VersionFields, request_id: str | None) -> bool:
    is_automatic = fields.get("semantic_version") == AUTOMATIC
    if is_automatic and request_id is not None:
        raise typer.BadParameter("with --request-id, say which --semantic-version: repeated, auto would be another")
    return is_automatic


def _without_automatic(fields: VersionFields) -> VersionFields:
    return {**fields, "semantic_version": ""} if fields.get("semantic_version") == AUTOMATIC else fields


def _register_next(
    registry: Registry,
    name: str,
    fields: VersionFields,
    *,
    artifact_id: str | None = None,
    run_artifact: str | None = None,
) -> ModelVersion:
    """Under the semantic version that the registry suggests."""
    wanted = _without_automatic(fields)
    advice = registry.check(name, artifact_id=artifact_id, run_artifact=run_artifact, **wanted)
    if not advice.suggested_semantic_version:
        raise typer.BadParameter("nothing can be suggested before the run is read: say which --semantic-version")
    wanted = {**wanted, "semantic_version": advice.suggested_semantic_version}
    return registry.register(name, artifact_id=artifact_id, run_artifact=run_artifact, **wanted)


def _print_version(version: ModelVersion, as_json: bool) -> None:
    if as_json:
        print_json(version)
        return
    print(version)
    if version.advice is not None:
        tell(*_advice_lines(version.advice, version.semantic_version))


def _advice_lines(advice: RegistrationAdvice, said: str) -> list[str]:
    """For people, beside what scripts read. Who uses no semantic versions is not told about them."""
    lines = []
    if advice.compared_with is not None and said in ("", AUTOMATIC):
        changes = "; ".join(change.description for change in advice.signature_changes[:_CHANGES])
        why = changes or f"the signature of version {advice.compared_with} serves its callers"
        lines.append(f"suggested semantic version: {advice.suggested_semantic_version} ({plain(why)})")
    if advice.missing_recommended:
        lines.append(f"recommended and missing: {plain(', '.join(advice.missing_recommended))}")
    return lines
