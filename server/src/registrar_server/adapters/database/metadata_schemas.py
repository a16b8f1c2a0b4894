"""Statements about metadata schemas."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from registrar_server.adapters.database.documents import dump, load
from registrar_server.adapters.database.lineage.tables import metadata_schemas
from registrar_server.domain.access import NamePattern
from registrar_server.domain.metadata_schemas import MetadataField, MetadataSchema, MetadataType, Requirement


class SqlMetadataSchemas:
    """The port `MetadataSchemaRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def current(self, tenant: str) -> MetadataSchema:
        """See the port."""
        query = select(metadata_schemas).where(metadata_schemas.c.tenant == tenant)
        row = self._connection.execute(query.order_by(metadata_schemas.c.revision.desc()).limit(1)).first()
        if row is None:
            return MetadataSchema(tenant)
        fields = tuple(map(_field, load(row.fields)["fields"]))
        return MetadataSchema(tenant, row.revision, fields, row.updated_by, row.updated_at)

    def add(self, schema: MetadataSchema, sequence: int) -> None:
        """See the port."""
        self._connection.execute(
            insert(metadata_schemas).values(
                tenant=schema.tenant,
                revision=schema.revision,
                fields=dump({"fields": [field.document for field in schema.fields]}),
                updated_by=schema.updated_by,
                updated_at=schema.update_time,
                sequence=sequence,
            )
        )


def _field(document: dict[str, Any]) -> MetadataField:
    return MetadataField(
        path=document["path"],
        requirement=Requirement(document["requirement"]),
        type=MetadataType(document["type"]),
        allowed_values=tuple(document.get("allowed_values", ())),
        min=document.get("min"),
        max=document.get("max"),
        max_characters=document.get("max_characters", 0),
        models=tuple(map(NamePattern, document.get("models", ()))),
        description=document.get("description", ""),
    )
