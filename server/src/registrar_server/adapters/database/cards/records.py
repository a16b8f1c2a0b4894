"""Statements about model cards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, literal, select, update

from registrar_server.adapters.database.cards.tables import IS_UNSTORED, model_cards
from registrar_server.adapters.database.search.index import SqlSearchIndex
from registrar_server.adapters.database.tables import bundle_files, model_versions, models
from registrar_server.application.ports.database.cards import UnstoredCard
from registrar_server.domain.bundles import BundleFile, FileType
from registrar_server.domain.cards import CardRevision, CardSection, CardState, card_key

_SHORT = select(*(column for column in model_cards.c if column is not model_cards.c.content))
_WHOLE = select(model_cards)
_SECTIONS = {section.value: section for section in CardSection}


class SqlCards:
    """The port `CardRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def state(self, version_uid: str) -> CardState | None:
        """See the port."""
        found = self._last(_SHORT.where(model_cards.c.version_uid == version_uid))
        return None if found is None else found.state

    def get(self, version_uid: str, revision: int = 0) -> CardRevision | None:
        """See the port."""
        query = _WHOLE.where(model_cards.c.version_uid == version_uid)
        return self._last(query.where(model_cards.c.revision == revision) if revision else query)

    def at_sequence(self, version_uid: str, sequence: int) -> CardRevision | None:
        """See the port."""
        query = _WHOLE.where(model_cards.c.version_uid == version_uid, model_cards.c.sequence <= sequence)
        return self._last(query)

    def content(self, version_uid: str, revision: int) -> str:
        """See the port."""
        query = select(model_cards.c.content).where(
            model_cards.c.version_uid == version_uid, model_cards.c.revision == revision
        )
        return self._connection.execute(query).scalar() or ""

    def revisions(self, version_uid: str, *, before: int, limit: int) -> Sequence[CardRevision]:
        """See the port."""
        query = _SHORT.where(model_cards.c.version_uid == version_uid)
        if before:
            query = query.where(model_cards.c.revision < before)
        rows = self._connection.execute(query.order_by(model_cards.c.revision.desc()).limit(limit))
        return [_revision(row, content="") for row in rows]

    def add(self, revision: CardRevision) -> None:
        """See the port."""
        state = revision.state
        self._connection.execute(
            insert(model_cards).values(
                version_uid=revision.version_uid,
                revision=state.revision,
                digest=state.digest,
                content=revision.content,
                sections=",".join(section.value for section in CardSection if section in state.sections),
                author=state.author,
                is_prefilled=state.is_prefilled,
                created_at=state.time,
                sequence=revision.sequence,
            )
        )
        index = SqlSearchIndex(self._connection)
        if state.is_prefilled:
            # In the transaction that registers the version: its words are there, and none of them goes.
            index.add_card(revision.sequence, revision.content)
        else:
            index.replace_words(revision.version_uid)

    def files(self, bundle_uid: str) -> Sequence[BundleFile]:
        """See the port."""
        query = select(bundle_files).where(
            bundle_files.c.bundle_uid == bundle_uid, bundle_files.c.type == FileType.CARD.value
        )
        rows = self._connection.execute(query.order_by(bundle_files.c.path))
        return [BundleFile(row.path, row.size_bytes, row.sha256, FileType.CARD) for row in rows]

    def is_any_unstored(self) -> bool:
        """See the port."""
        query = select(literal(1)).select_from(model_cards).where(IS_UNSTORED).limit(1)
        return self._connection.execute(query).first() is not None

    def unstored(self, *, limit: int) -> Sequence[UnstoredCard]:
        """See the port."""
        query = (
            select(
                model_cards.c.version_uid,
                model_cards.c.revision,
                model_cards.c.content,
                model_versions.c.number,
                models.c.tenant,
                models.c.uid.label("model_uid"),
            )
            .join_from(model_cards, model_versions, model_cards.c.version_uid == model_versions.c.uid)
            .join(models, model_versions.c.model_uid == models.c.uid)
            .where(IS_UNSTORED)
        )
        rows = self._connection.execute(query.order_by(model_cards.c.sequence).limit(limit))
        return [
            UnstoredCard(
                row.version_uid,
                row.revision,
                card_key(row.tenant, row.model_uid, row.number, row.revision),
                row.content,
            )
            for row in rows
        ]

    def set_stored(self, version_uid: str, revision: int, time: datetime) -> None:
        """See the port."""
        statement = update(model_cards).where(
            model_cards.c.version_uid == version_uid, model_cards.c.revision == revision, IS_UNSTORED
        )
        self._connection.execute(statement.values(stored_at=time))

    def _last(self, query: Select[Any]) -> CardRevision | None:
        row = self._connection.execute(query.order_by(model_cards.c.revision.desc()).limit(1)).first()
        return None if row is None else _revision(row, content=getattr(row, "content", ""))


def _revision(row: Any, *, content: str) -> CardRevision:
    return CardRevision(
        version_uid=row.version_uid,
        state=CardState(
            revision=row.revision,
            digest=row.digest,
            sections=frozenset(_SECTIONS[name] for name in row.sections.split(",") if name),
            author=row.author,
            is_prefilled=row.is_prefilled,
            time=row.created_at,
        ),
        content=content,
        sequence=row.sequence,
        is_stored=row.stored_at is not None,
    )
