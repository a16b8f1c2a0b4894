"""The catalogue in the registry's own tables, as if every version had been registered through it.

Rows go in by the driver, with the sequences and counters that the journal would have left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import Connection, event, text, update

from benchmarks.reads.bulk import Row, without_indexes, write
from benchmarks.reads.catalogue import facts, holders, model_name, notes
from benchmarks.reads.journal import Journal
from benchmarks.reads.rows import (
    alias_row,
    bundle_file_row,
    bundle_row,
    mirrored_row,
    model_row,
    stages_after,
    version_row,
)
from benchmarks.reads.search_rows import add_fields, champion_term, searched_row, term_row, terms_of, text_row
from registrar_server.adapters.database.engine import open_engine
from registrar_server.adapters.database.migrate import migrate
from registrar_server.adapters.database.search.tables import (
    search_terms,
    search_texts,
    search_texts_sqlite,
    search_versions,
)
from registrar_server.adapters.database.tables import (
    aliases,
    bundle_files,
    bundles,
    counters,
    mirror,
    model_versions,
    models,
    tenants,
)
from registrar_server.domain.values import DEFAULT_TENANT

_VERSIONS_AT_ONCE = 1_000


def fill(url: str, *, model_count: int, versions: int) -> float:
    """Make the schema and fill it; the seconds that it took."""
    began = time.perf_counter()
    migrate(url, tenant_names=(DEFAULT_TENANT,))
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _hurry)
    try:
        with engine.begin() as connection, without_indexes(connection):
            _fill(connection, model_count, versions)
        if engine.dialect.name == "postgresql":
            # As its autovacuum would; nobody does it for SQLite.
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("ANALYZE"))
    finally:
        engine.dispose()
    return time.perf_counter() - began


def _hurry(connection: Any, _record: object) -> None:
    """What is thrown away when the machine stops need not survive that."""
    for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-400000"):
        connection.execute(f"PRAGMA {setting}")


def _fill(connection: Connection, model_count: int, versions: int) -> None:
    numbers = range(model_count)
    write(connection, models, map(model_row, numbers))
    write(connection, bundles, map(bundle_row, numbers))
    write(connection, bundle_files, map(bundle_file_row, numbers))
    journal = Journal(model_count, versions)
    _fill_versions(connection, journal, model_count, versions)
    champion = holders(versions)["champion"]
    if champion:
        write(connection, aliases, (alias_row(model, champion) for model in numbers))
    for table, rows in journal.rows().items():
        write(connection, table, rows)
    write(connection, mirror, (mirrored_row(model, journal.last_of(model)) for model in numbers))
    connection.execute(update(counters).where(counters.c.name == "events").values(value=journal.length))
    connection.execute(update(tenants).where(tenants.c.name == DEFAULT_TENANT).values(audit_position=journal.length))


def _fill_versions(connection: Connection, journal: Journal, model_count: int, versions: int) -> None:
    """Versions, and what is searched of them: both are made of the same facts."""
    is_postgresql = connection.dialect.name == "postgresql"
    field_ids = add_fields(connection)
    stages, champion = stages_after(versions), holders(versions)["champion"]
    named = [(model_name(model), model_row(model)) for model in range(model_count)]
    waiting = ((model, version) for version in range(1, versions + 1) for model in range(model_count))
    while some := list(islice(waiting, _VERSIONS_AT_ONCE)):
        made = [
            _Made(journal.registration_of(model, version), *named[model], model, version, stages)
            for model, version in some
        ]
        write(connection, model_versions, (one.row for one in made))
        write(connection, search_versions, (one.searched for one in made))
        write(connection, search_terms, (row for one in made for row in one.terms(field_ids, champion)))
        texts = search_texts if is_postgresql else search_texts_sqlite
        write(connection, texts, (one.text(is_postgresql=is_postgresql) for one in made))


class _Made:
    """A version with what its rows are made of."""

    def __init__(
        self,
        sequence: int,
        name: str,
        model_row: Row,
        model: int,
        version: int,
        stages: Mapping[int, tuple[str, int]],
    ) -> None:
        self._sequence = sequence
        self._name = name
        self._model_row = model_row
        self._facts, self._notes = facts(model, version), notes(model, version)
        self.row = version_row(model, version, self._facts, self._notes, stages)

    @property
    def searched(self) -> Row:
        """Of `search_versions`."""
        return searched_row(self._sequence, self._name, self.row, self._facts.provenance.git_commit)

    def terms(self, field_ids: Mapping[str, int], champion: int) -> Iterator[Row]:
        """Of `search_terms`."""
        for term in terms_of(self._facts, self._notes):
            yield term_row(self._sequence, field_ids, term)
        if self.row["number"] == champion:
            yield term_row(self._sequence, field_ids, champion_term())

    def text(self, *, is_postgresql: bool) -> Row:
        """Of `search_texts`."""
        return text_row(self._sequence, self._name, self._notes, self._model_row, is_postgresql=is_postgresql)
