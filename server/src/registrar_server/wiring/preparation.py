"""What must be there before a process answers: the schema, and a store that answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import structlog

from registrar_server.adapters.embedded_s3 import EmbeddedS3, EmbeddedS3Address
from registrar_server.config import Config
from registrar_server.wiring.resources import embedded_directory, open_store

_log = structlog.get_logger()


def prepare(config: Config, stack: ExitStack) -> Config:
    """Schema and store, side by side; the configuration with the embedded store's address, if that is the store."""
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(_start_embedded, config) if config.is_s3_embedded else None
        # Imported while the store starts: this and SQLAlchemy are half of what a start takes.
        from registrar_server.adapters.database.migrate import migrate
        from registrar_server.wiring.access import apply_declaration, read_declaration

        declaration = read_declaration(config)
        before, after = migrate(config.database_url, tenant_names=config.tenants)
        apply_declaration(config, declaration)
    if before != after:
        _log.info("database.migrated", before=before, after=after)
    if starting is not None:
        store, address = starting.result()
        stack.callback(store.stop)
        config = replace(
            config,
            s3_endpoint_url=address.endpoint_url,
            s3_access_key=address.access_key,
            s3_secret_key=address.secret_key,
        )
    open_store(config, stack).check()
    return config


def _start_embedded(config: Config) -> tuple[EmbeddedS3, EmbeddedS3Address]:
    store = EmbeddedS3(embedded_directory(config))
    return store, store.start()
