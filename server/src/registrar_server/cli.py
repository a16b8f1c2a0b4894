"""The commands that the server adds to `registrar`: serve, migrate, check-config, bootstrap-token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from registrar_server.config import Config, ConfigError, load_config, read_environment
from registrar_server.variables import KNOWN_VARIABLES

CONFIGURATION_ERROR = 2
START_ERROR = 1


def commands(app: typer.Typer) -> None:
    """Register the commands on the client's application."""
    app.command("serve")(serve)
    app.command("migrate")(migrate)
    app.command("check-config")(check_config)
    app.command("bootstrap-token")(bootstrap_token)


def serve(
    listen: Annotated[str | None, typer.Option(help="HOST:PORT to serve on; port 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Directory of all that is embedded.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that answer calls.")] = None,
    bulk_listen: Annotated[
        str | None, typer.Option(help="HOST:PORT of a process of its own for uploads and downloads.")
    ] = None,
    allow_plaintext_network: Annotated[
        bool, typer.Option("--allow-plaintext-network", help="Serve beyond loopback although nothing is encrypted.")
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
        is_plaintext_network_allowed=allow_plaintext_network or None,
    )
    from registrar_server.adapters.embedded_s3 import EmbeddedS3Error
    from registrar_server.domain.errors import RegistrarError
    from registrar_server.logging import set_up_logging
    from registrar_server.processes import StartError, Supervisor, handle_signals
    from registrar_server.welcome import welcome

    set_up_logging(config.log_level, config.log_format, "parent")
    supervisor = Supervisor(config)
    handle_signals(supervisor)
    try:
        supervisor.run(lambda running: typer.echo(welcome(running.config, running.seconds)))
    except ConfigError as exc:
        _refuse(exc.problems)
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
    _check_access_file(config)
    for warning in config.warnings:
        typer.echo(f"Warning: {warning}", err=True)
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


def bootstrap_token(
    *,
    ttl: Annotated[str, typer.Option(metavar="DURATION", help="How long it holds: 30m, 1h, 7d.")] = "1h",
    tenant: Annotated[str, typer.Option(help="Tenant that it is for; * for all.")] = "*",
    role: Annotated[str, typer.Option(help="The role that it has.")] = "administrator",
    data: Annotated[Path | None, typer.Option(help="Directory of all that is embedded.")] = None,
) -> None:
    """Make a first token, while nobody may make one yet, and print it.

    It goes into the database directly, so that the server's configuration is needed, and no server.
    """
    config = _load(data_dir=str(data) if data else None)
    from registrar.cli.arguments import parse_duration
    from registrar_server.application.administration.tokens import NewToken
    from registrar_server.domain.access import NamePattern
    from registrar_server.domain.errors import InvalidRequest, RegistrarError
    from registrar_server.domain.validation import checking
    from registrar_server.wiring.access import make_first_token

    try:
        with checking() as check:
            wanted = NewToken(
                tenant=check.tenant_or_all("--tenant", tenant),
                name="bootstrap",
                role=check.role_name("--role", role),
                ttl_seconds=check.token_seconds("--ttl", parse_duration(ttl)),
                models=NamePattern(),
                description="Made by registrar bootstrap-token.",
            )
        typer.echo(make_first_token(config, wanted))
    except InvalidRequest as exc:
        _refuse([f"{violation.field} {violation.description}" for violation in exc.violations])
    except RegistrarError as exc:
        typer.echo(f"no token was made: {exc.message} ({exc.reason.value})", err=True)
        raise typer.Exit(START_ERROR) from None


def _load(**overrides: object) -> Config:
    try:
        return load_config(read_environment(), **overrides)
    except ConfigError as exc:
        _refuse(exc.problems)


def _check_access_file(config: Config) -> None:
    if not config.access_file:
        return
    from registrar_server.wiring.access import read_declaration

    try:
        read_declaration(config)
    except ConfigError as exc:
        _refuse(exc.problems)


def _refuse(problems: Sequence[str]) -> NoReturn:
    typer.echo("The configuration is wrong:", err=True)
    for problem in problems:
        typer.echo(f"  {problem}", err=True)
    raise typer.Exit(CONFIGURATION_ERROR) from None


def _fail(message: str) -> NoReturn:
    typer.echo(f"registrar cannot start: {message}", err=True)
    raise typer.Exit(START_ERROR)
