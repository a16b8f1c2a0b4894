"""AdminService."""

from __future__ import annotations

from registrar_server.application.administration.administration import Administration
from registrar_server.application.server_status import LoginOptions, ServerFacts, ServerStatus
from registrar_server.transport.services.metadata_schemas import MetadataSchemaRpcs
from registrar_server.transport.services.roles import RoleRpcs
from registrar_server.transport.services.server_info import ServerInfoRpcs
from registrar_server.transport.services.tenants import TenantRpcs
from registrar_server.transport.services.tokens import TokenRpcs


class AdminServicer(ServerInfoRpcs, RoleRpcs, TokenRpcs, TenantRpcs, MetadataSchemaRpcs):
    """The server, its callers, and who may do what."""

    def __init__(
        self, status: ServerStatus, facts: ServerFacts, login: LoginOptions, administration: Administration
    ) -> None:
        ServerInfoRpcs.__init__(self, status, facts, login)
        RoleRpcs.__init__(self, administration.roles, administration.bindings)
        TokenRpcs.__init__(self, administration.tokens)
        TenantRpcs.__init__(self, administration.tenants)
        MetadataSchemaRpcs.__init__(self, administration.metadata_schemas)
