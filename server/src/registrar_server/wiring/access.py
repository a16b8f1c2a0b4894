"""Who may do what before anybody can say so by a call: the access file, and a first token."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import structlog

from registrar_server.adapters.access_file import read_access_file
from registrar_server.adapters.database.migrate import migrate
from registrar_server.application.administration.changes import By
from registrar_server.application.administration.declaration import Declaration, declare
from registrar_server.application.administration.tokens import NewToken, make_token
from registrar_server.application.ports.clock import SystemClock
from registrar_server.config import Config, ConfigError
from registrar_server.domain.access import EVERYWHERE, Caller
from registrar_server.domain.errors import InvalidRequest
from registrar_server.wiring.resources import open_database

_log = structlog.get_logger()


def read_declaration(config: Config) -> Declaration:
    """What the access file declares; nothing where there is none. ConfigError with everything that is wrong with it."""
    try:
        return read_access_file(Path(config.access_file)) if config.access_file else Declaration()
    except InvalidRequest as exc:
        raise _config_error(config, exc) from exc


def apply_declaration(config: Config, declaration: Declaration) -> None:
    """Have what is declared be there. ConfigError where it names what is not."""
    if not config.access_file:
        return
    with ExitStack() as stack:
        database = open_database(config, stack)
        try:
            declared = declare(database, SystemClock(), declaration)
        except InvalidRequest as exc:
            raise _config_error(config, exc) from exc
    for tenant in declared.skipped:
        _log.warning("access_file.tenant_deleted", tenant=tenant)
    _log.info("access_file.applied", changes=declared.changes)


def make_first_token(config: Config, wanted: NewToken) -> str:
    """A token's secret, made in the database itself, which is brought to its schema. TENANT_NOT_FOUND, ROLE_NOT_FOUND."""
    if config.database_url.startswith("sqlite"):
        Path(config.data_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
    migrate(config.database_url, tenant_names=config.tenants)
    with ExitStack() as stack:
        database = open_database(config, stack)
        by = By(Caller("bootstrap", EVERYWHERE), SystemClock().now())
        with database.writing() as transaction:
            _, secret = make_token(transaction, by, wanted)
    return secret


def _config_error(config: Config, error: InvalidRequest) -> ConfigError:
    where = f"REGISTRAR_ACCESS_FILE: {config.access_file}"
    return ConfigError([": ".join(filter(None, (where, v.field, v.description))) for v in error.violations])
