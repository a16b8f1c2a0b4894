"""All use cases of administration together."""

from __future__ import annotations

from dataclasses import dataclass

from registrar_server.application.administration.bindings import RoleBindings
from registrar_server.application.administration.metadata_schemas import MetadataSchemas
from registrar_server.application.administration.roles import Roles
from registrar_server.application.administration.tenants import Tenants
from registrar_server.application.administration.tokens import Tokens
from registrar_server.application.mutations import Mutations
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database


@dataclass(frozen=True, slots=True)
class Administration:
    """What AdminService calls."""

    roles: Roles
    bindings: RoleBindings
    tokens: Tokens
    tenants: Tenants
    metadata_schemas: MetadataSchemas

    @classmethod
    def on(cls, database: Database, mutations: Mutations, clock: Clock) -> Administration:
        """The use cases on a database."""
        return cls(
            Roles(database, mutations),
            RoleBindings(database, mutations),
            Tokens(database, mutations, clock),
            Tenants(database, mutations),
            MetadataSchemas(database, mutations),
        )
