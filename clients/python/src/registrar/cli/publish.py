"""`push`, `abort` and `register`: new versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registrar.cli.description import describes_version
from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Name, Quiet, RequestId, Server, Tenant, open_registry
from registrar.fields import VersionFields
from registrar.types import ModelVersion


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
            registry.check(name, artifact_id=artifact, run_artifact=run, **fields)
            print(f"{name}: nothing speaks against it")
            return
        version = registry.register(name, artifact_id=artifact, run_artifact=run, request_id=request_id, **fields)
    _print_version(version, as_json)


def _print_version(version: ModelVersion, as_json: bool) -> None:
    if as_json:
        print_json(version)
    else:
        print(version)
