"""The table of model cards."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, String, Table, Text

from registrar_server.adapters.database.tables import Timestamp, Uid, metadata, model_versions

model_cards = Table(
    "model_cards",
    metadata,
    Column("version_uid", Uid, ForeignKey(model_versions.c.uid), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", String(71), nullable=False),
    # The card as JSON, keys in order.
    Column("content", Text, nullable=False),
    # Names of the sections that say something, with commas between.
    Column("sections", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("is_prefilled", Boolean, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    # That of the event that made it.
    Column("sequence", BigInteger, nullable=False),
    # Since when the object is in the store.
    Column("stored_at", Timestamp),
)

IS_UNSTORED = model_cards.c.stored_at.is_(None)
Index(None, model_cards.c.sequence, sqlite_where=IS_UNSTORED, postgresql_where=IS_UNSTORED)
