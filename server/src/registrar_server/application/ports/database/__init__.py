"""The registrar database as the use cases see it.

A transaction is all or nothing, sees its own writes, and gives no answer before the commit. Writers of one model
take turns (`ModelRecords.lock`); event sequences are given out in the order of commits. Lock order, kept by every
use case: model or role, policies, tenant chain, event sequence (`Journal.record` takes the last two, so it comes last).

Every method raises `RegistrarError` DATABASE_UNAVAILABLE or DATABASE_BUSY when the database does not answer or
stays locked; nothing is changed then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from registrar_server.application.ports.database.access import AccessRecords, ApiToken, RoleBinding
from registrar_server.application.ports.database.approvals import ApprovalFilter, ApprovalRecords
from registrar_server.application.ports.database.audit import EVERY_ENTRY, AuditFilter, AuditHead, AuditRecords
from registrar_server.application.ports.database.audit_exports import AuditExport, AuditExportRecords
from registrar_server.application.ports.database.bundles import BundleClaim, BundleRecords
from registrar_server.application.ports.database.cards import CardRecords, UnstoredCard
from registrar_server.application.ports.database.history import HistoryRecords, LastingSelector
from registrar_server.application.ports.database.journal import Change, Event, Journal, ModelEvent
from registrar_server.application.ports.database.lifecycle import AliasRecords, TransitionRecords
from registrar_server.application.ports.database.lineage import LineageRecords, LineageScope, Origin
from registrar_server.application.ports.database.metadata_schemas import MetadataSchemaRecords
from registrar_server.application.ports.database.mirror import MirrorProgress, MirrorRecords, MirrorTask
from registrar_server.application.ports.database.models import ModelRecords, NewModel
from registrar_server.application.ports.database.policies import PolicyRecords
from registrar_server.application.ports.database.registrations import RegistrationRecords, RegistrationTask
from registrar_server.application.ports.database.requests import RequestKey, RequestRecords, StoredAnswer
from registrar_server.application.ports.database.reviews import ReviewRecords
from registrar_server.application.ports.database.search import Found, SearchRecords
from registrar_server.application.ports.database.tenants import TenantRecords
from registrar_server.application.ports.database.uploads import FileTask, PartKey, UploadRecords
from registrar_server.application.ports.database.versions import NewVersion, VersionRecords
from registrar_server.domain.access import NamePattern
from registrar_server.domain.models import Model
from registrar_server.domain.values import ModelKey, Selector
from registrar_server.domain.versions import ModelVersion

__all__ = [
    "EVERY_ENTRY",
    "AccessRecords",
    "AliasRecords",
    "ApiToken",
    "ApprovalFilter",
    "ApprovalRecords",
    "AuditExport",
    "AuditExportRecords",
    "AuditFilter",
    "AuditHead",
    "AuditRecords",
    "BundleClaim",
    "BundleRecords",
    "CardRecords",
    "Change",
    "Database",
    "Event",
    "FileTask",
    "Found",
    "HistoryRecords",
    "Journal",
    "LastingSelector",
    "LineageRecords",
    "LineageScope",
    "MetadataSchemaRecords",
    "MirrorProgress",
    "MirrorRecords",
    "MirrorTask",
    "ModelEvent",
    "ModelRecords",
    "NewModel",
    "NewVersion",
    "Origin",
    "PartKey",
    "PolicyRecords",
    "RegistrationRecords",
    "RegistrationTask",
    "RequestKey",
    "RequestRecords",
    "ReviewRecords",
    "RoleBinding",
    "SearchRecords",
    "StoredAnswer",
    "TenantRecords",
    "Transaction",
    "TransitionRecords",
    "UnstoredCard",
    "UploadRecords",
    "VersionRecords",
]


class Transaction(Protocol):
    """What can be done within one transaction."""

    @property
    def models(self) -> ModelRecords: ...
    @property
    def versions(self) -> VersionRecords: ...
    @property
    def registrations(self) -> RegistrationRecords: ...
    @property
    def aliases(self) -> AliasRecords: ...
    @property
    def transitions(self) -> TransitionRecords: ...
    @property
    def history(self) -> HistoryRecords: ...
    @property
    def bundles(self) -> BundleRecords: ...
    @property
    def uploads(self) -> UploadRecords: ...
    @property
    def requests(self) -> RequestRecords: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def audit(self) -> AuditRecords: ...
    @property
    def audit_exports(self) -> AuditExportRecords: ...
    @property
    def mirror(self) -> MirrorRecords: ...
    @property
    def search(self) -> SearchRecords: ...
    @property
    def cards(self) -> CardRecords: ...
    @property
    def approvals(self) -> ApprovalRecords: ...
    @property
    def reviews(self) -> ReviewRecords: ...
    @property
    def access(self) -> AccessRecords: ...
    @property
    def tenants(self) -> TenantRecords: ...
    @property
    def lineage(self) -> LineageRecords: ...
    @property
    def metadata_schemas(self) -> MetadataSchemaRecords: ...
    @property
    def policies(self) -> PolicyRecords: ...

    def discard(self) -> None:
        """Roll back at the end instead of committing: for `validate_only`."""


class Database(Protocol):
    """Where what is governed lives. Thread-safe."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """A consistent view; nothing may be written."""

    def writing(self) -> AbstractContextManager[Transaction]:
        """Commits when the block ends, rolls back when it raises."""

    def resolve(self, model: ModelKey, selector: Selector) -> Sequence[ModelVersion]:
        """What `VersionRecords.get` finds in a transaction of its own, at less cost: the call that is made most."""

    def list_models(
        self,
        tenant: str,
        *,
        readable: Sequence[NamePattern],
        prefix: str,
        after: str,
        limit: int,
        is_deleted_shown: bool,
    ) -> Sequence[Model]:
        """What `ModelRecords.list` finds in a transaction of its own, at less cost."""

    def events_after(self, sequence: int, *, limit: int) -> tuple[int, Sequence[ModelEvent]]:
        """The newest event's sequence (0: none), and the next events after `sequence`, in order and without gaps."""

    def tell_commits(self, listener: Callable[[Sequence[ModelEvent]], None]) -> None:
        """Have `listener` called after each commit of this process that recorded events, before its caller goes on."""

    def check(self) -> None:
        """Reach the database and find its schema current."""

    def close(self) -> None:
        """Release connections."""
