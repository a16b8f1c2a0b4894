"""The commands that the server adds to `registrar`: serve, migrate, check-config."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from registrar_server.config import Config, ConfigError, load_config, read_environment
from registrar_server.variables import KNOWN_VARIABLES

CONFIGURATION_ERROR = 2
START_ERROR = 1

# The snippets begin at the margin, so that they work as pasted: a shell finds the end of an indented text nowhere.
_WELCOME = """
  Registrar is serving on {listen}  (ready in {seconds:.1f} s; Ctrl-C stops it)

  database   {database}
  MLflow     {mlflow}
  bundles    {bundles} at {store}
  data       {data}
  transfers  {transfers}
  metrics    {metrics}

  Plain MLflow and S3 readers:   source {environment}
  (it is there when MLflow is, some seconds from now)

  With grpcurl:

grpcurl -plaintext {listen} registrar.v1.AdminService/GetServerInfo

  With Python:

{python} - <<'END'
import registrar

with registrar.connect("{listen}") as registry:
    print("Registrar", registry.server_info().server_version)
    for model in registry.models():
        print(model.name, "version", model.latest_version, "production", model.production_version)
END
"""


def commands(app: typer.Typer) -> None:
    """Register the commands on the client's application."""
    app.command("serve")(serve)
    app.command("migrate")(migrate)
    app.command("check-config")(check_config)


def serve(
    listen: Annotated[str | None, typer.Option(help="HOST:PORT to serve on; port 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Directory of all that is embedded.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that answer calls.")] = None,
    bulk_listen: Annotated[
        str | None, typer.Option(help="HOST:PORT of a process of its own for uploads and downloads.")
    ] = None,
    allow_unauthenticated_network: Annotated[
        bool, typer.Option("--allow-unauthenticated-network", help="Serve beyond loopback although nobody logs in.")
    ] = False,
) -> None:
    """Run the registry.

    With no configuration everything is embedded: SQLite, an S3 store, MLflow's database.
    """
    config = _load(
        listen=listen,
        data_dir=str(data) if data else None,
        workers=workers,
        bulk_listen=bulk_listen,
        is_open_network_allowed=allow_unauthenticated_network or None,
    )
    from registrar_server.adapters.embedded_s3 import EmbeddedS3Error
    from registrar_server.domain.errors import RegistrarError
    from registrar_server.logging import set_up_logging
    from registrar_server.processes import StartError, Supervisor, handle_signals

    set_up_logging(config.log_level, config.log_format, "parent")
    supervisor = Supervisor(config)
    handle_signals(supervisor)
    try:
        supervisor.run(lambda running: _welcome(running.config, running.seconds))
    except (StartError, EmbeddedS3Error) as exc:
        _fail(str(exc))
    except RegistrarError as exc:
        _fail(f"{exc.message} ({exc.reason.value}); the lines above say more")


def migrate() -> None:
    """Bring the database up to date.

    `serve` does so by itself.
    """
    config = _load()
    from registrar_server.adapters.database.migrate import migrate as run
    from registrar_server.domain.errors import RegistrarError

    if config.database_url.startswith("sqlite"):
        Path(config.data_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        before, after = run(config.database_url, tenant_names=config.tenants)
    except RegistrarError as exc:
        _fail(exc.message)
    typer.echo(f"{config.shown()['database_url']}: {before or 'empty'} → {after}")


def check_config(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show the configuration in force.

    Or everything that is wrong with it, with exit code 2.
    """
    config = _load()
    shown = config.shown()
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    environment = read_environment()
    width = max(len(name) for name in KNOWN_VARIABLES)
    for name, variable in KNOWN_VARIABLES.items():
        source = "set" if environment.get(name) else "default"
        value = shown[variable.field] or variable.otherwise
        typer.echo(f"{name:<{width}}  {value}  ({source}; {variable.meaning})")


def _load(**overrides: object) -> Config:
    try:
        return load_config(read_environment(), **overrides)
    except ConfigError as exc:
        typer.echo("The configuration is wrong:", err=True)
        for problem in exc.problems:
            typer.echo(f"  {problem}", err=True)
        raise typer.Exit(CONFIGURATION_ERROR) from None


def _fail(message: str) -> NoReturn:
    typer.echo(f"registrar cannot start: {message}", err=True)
    raise typer.Exit(START_ERROR)


def _welcome(config: Config, seconds: float) -> None:
    """Say where things are, and how to begin."""
    from registrar_server.mlflow_environment import mlflow_environment_file

    shown = config.shown()
    typer.echo(
        _WELCOME.format(
            listen=config.listen,
            seconds=seconds,
            database=shown["database_url"],
            mlflow=shown["mlflow_tracking_uri"],
            bundles=config.artifact_root,
            store=config.s3_endpoint_url or "AWS",
            data=config.data_dir,
            transfers=f"{config.bulk_listen}, in a process of their own" if config.bulk_listen else config.listen,
            metrics=f"http://{config.metrics_listen}/metrics" if config.metrics_listen else "none",
            environment=shlex.quote(str(mlflow_environment_file(config))),
            python=shlex.quote(sys.executable),
        )
    )
