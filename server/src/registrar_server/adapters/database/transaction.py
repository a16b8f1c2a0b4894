"""One transaction: the records of every noun on one connection."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import Connection

from registrar_server.adapters.database.access import SqlAccess
from registrar_server.adapters.database.aliases import SqlAliases
from registrar_server.adapters.database.audit import SqlAudit
from registrar_server.adapters.database.audit_exports import SqlAuditExports
from registrar_server.adapters.database.bundles import SqlBundles
from registrar_server.adapters.database.cards.records import SqlCards
from registrar_server.adapters.database.governance.approvals import SqlApprovals
from registrar_server.adapters.database.governance.policies import SqlPolicies
from registrar_server.adapters.database.governance.reviews import SqlReviews
from registrar_server.adapters.database.history import SqlHistory
from registrar_server.adapters.database.journal import SqlJournal
from registrar_server.adapters.database.lineage.records import SqlLineage
from registrar_server.adapters.database.metadata_schemas import SqlMetadataSchemas
from registrar_server.adapters.database.mirror import SqlMirror
from registrar_server.adapters.database.models import SqlModels
from registrar_server.adapters.database.registrations import SqlRegistrations
from registrar_server.adapters.database.requests import SqlRequests
from registrar_server.adapters.database.search.records import SqlSearch
from registrar_server.adapters.database.tenants import SqlTenants
from registrar_server.adapters.database.transitions import SqlTransitions
from registrar_server.adapters.database.uploads import SqlUploads
from registrar_server.adapters.database.versions import SqlVersions


class SqlTransaction:
    """The port `Transaction`. Records are made when first asked for: most calls need two of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.is_discarded = False

    def discard(self) -> None:
        """See the port."""
        self.is_discarded = True

    @cached_property
    def models(self) -> SqlModels:
        """Models."""
        return SqlModels(self._connection)

    @cached_property
    def versions(self) -> SqlVersions:
        """Versions."""
        return SqlVersions(self._connection)

    @cached_property
    def registrations(self) -> SqlRegistrations:
        """Registration tasks."""
        return SqlRegistrations(self._connection)

    @cached_property
    def aliases(self) -> SqlAliases:
        """Aliases."""
        return SqlAliases(self._connection)

    @cached_property
    def transitions(self) -> SqlTransitions:
        """Stage history."""
        return SqlTransitions(self._connection)

    @cached_property
    def history(self) -> SqlHistory:
        """The past."""
        return SqlHistory(self._connection)

    @cached_property
    def bundles(self) -> SqlBundles:
        """Bundles."""
        return SqlBundles(self._connection)

    @cached_property
    def uploads(self) -> SqlUploads:
        """Upload sessions."""
        return SqlUploads(self._connection)

    @cached_property
    def requests(self) -> SqlRequests:
        """Request ids."""
        return SqlRequests(self._connection)

    @cached_property
    def journal(self) -> SqlJournal:
        """Audit and events."""
        return SqlJournal(self._connection)

    @cached_property
    def audit(self) -> SqlAudit:
        """The audit."""
        return SqlAudit(self._connection)

    @cached_property
    def audit_exports(self) -> SqlAuditExports:
        """What of the audit is exported."""
        return SqlAuditExports(self._connection)

    @cached_property
    def mirror(self) -> SqlMirror:
        """Mirror tasks."""
        return SqlMirror(self._connection)

    @cached_property
    def search(self) -> SqlSearch:
        """Search."""
        return SqlSearch(self._connection)

    @cached_property
    def approvals(self) -> SqlApprovals:
        """Approvals."""
        return SqlApprovals(self._connection)

    @cached_property
    def reviews(self) -> SqlReviews:
        """Comments and check results."""
        return SqlReviews(self._connection)

    @cached_property
    def cards(self) -> SqlCards:
        """Model cards."""
        return SqlCards(self._connection)

    @cached_property
    def access(self) -> SqlAccess:
        """Roles, bindings, tokens."""
        return SqlAccess(self._connection)

    @cached_property
    def tenants(self) -> SqlTenants:
        """Tenants."""
        return SqlTenants(self._connection)

    @cached_property
    def policies(self) -> SqlPolicies:
        """Policies."""
        return SqlPolicies(self._connection)

    @cached_property
    def lineage(self) -> SqlLineage:
        """Lineage."""
        return SqlLineage(self._connection)

    @cached_property
    def metadata_schemas(self) -> SqlMetadataSchemas:
        """Metadata schemas."""
        return SqlMetadataSchemas(self._connection)
