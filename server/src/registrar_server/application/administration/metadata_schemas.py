"""Use cases about what a tenant demands of the metadata of its versions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.administration.changes import By, record
from registrar_server.application.authorization import tenant_not_found
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.application.resolution import require_etag, require_tenant
from registrar_server.domain.metadata_schemas import MetadataField, MetadataSchema


@dataclass(frozen=True, slots=True)
class SchemaChanged:
    """A schema after a change, and the change's event; 0: nothing changed."""

    schema: MetadataSchema
    sequence: int


class MetadataSchemas:
    """Reads and writes metadata schemas."""

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def get(self, tenant: str) -> MetadataSchema:
        """The last revision; TENANT_NOT_FOUND."""
        with self._database.reading() as transaction:
            require_tenant(transaction, tenant)
            return transaction.metadata_schemas.current(tenant)

    def update(
        self,
        mutation: Mutation[SchemaChanged],
        tenant: str,
        fields: tuple[MetadataField, ...],
        *,
        etag: str,
        comment: str,
    ) -> bytes:
        """Write the next revision, unless it would say the same; TENANT_NOT_FOUND, ETAG_MISMATCH."""

        def action(transaction: Transaction, now: datetime) -> SchemaChanged:
            # Who writes one waits for who writes another.
            locked = transaction.tenants.lock(tenant)
            if locked is None or locked.delete_time is not None:
                raise tenant_not_found(tenant)
            before = transaction.metadata_schemas.current(tenant)
            require_etag(etag, before.etag)
            if before.fields == fields:
                return SchemaChanged(before, 0)
            after = replace(
                before,
                revision=before.revision + 1,
                fields=fields,
                updated_by=mutation.caller.actor,
                update_time=now,
            )
            sequence = record(
                transaction,
                By(mutation.caller, now, mutation.request_id),
                "metadata_schema.updated",
                tenant,
                before=_document(before),
                after=_document(after),
                comment=comment,
            )
            transaction.metadata_schemas.add(after, sequence)
            return SchemaChanged(after, sequence)

        return self._mutations.run(mutation, action)


def _document(schema: MetadataSchema) -> dict[str, object]:
    return {"revision": schema.revision, "fields": [field.document for field in schema.fields]}
