"""Records of what tenants demand of the metadata of their versions."""

from __future__ import annotations

from typing import Protocol

from registrar_server.domain.metadata_schemas import MetadataSchema


class MetadataSchemaRecords(Protocol):
    """Metadata schemas. A revision never changes once it is written."""

    def current(self, tenant: str) -> MetadataSchema:
        """The last revision; an empty schema of revision 0 where there is none."""

    def add(self, schema: MetadataSchema, sequence: int) -> None:
        """Write the next revision, which the event `sequence` tells of."""
