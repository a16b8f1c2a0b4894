"""Keeps what is searched in step: called with every change, in its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from registrar_server.adapters.database.cards.tables import model_cards
from registrar_server.adapters.database.documents import load, load_facts, load_notes
from registrar_server.adapters.database.lineage.tables import version_origins
from registrar_server.adapters.database.search.field_ids import known_ids
from registrar_server.adapters.database.search.tables import (
    search_fields,
    search_terms,
    search_texts,
    search_texts_sqlite,
    search_versions,
)
from registrar_server.adapters.database.search.terms import (
    INDEXED_CHARACTERS,
    TAGS,
    Term,
    card_words,
    fact_terms,
    field_name,
    model_words,
    parent_term,
    tag_terms,
    version_words,
)
from registrar_server.adapters.database.tables import model_versions, models
from registrar_server.application.ports.database.journal import Change
from registrar_server.domain.search import Facet, Property

_SOURCE = select(
    model_versions,
    models.c.tenant,
    models.c.name,
    models.c.description.label("model_description"),
    models.c.tags.label("model_tags"),
).join_from(model_versions, models, model_versions.c.model_uid == models.c.uid)

# A stage, a time and a deletion are all that most changes touch: one row, and no term.
_OWN = model_versions.c.uid == search_versions.c.version_uid
_LIVING = (
    select(model_versions.c.deleted_at.is_(None) & models.c.deleted_at.is_(None))
    .join_from(model_versions, models, model_versions.c.model_uid == models.c.uid)
    .where(_OWN)
    .correlate(search_versions)
    .scalar_subquery()
)
_STATE = update(search_versions).values(
    stage=select(model_versions.c.stage).where(_OWN).correlate(search_versions).scalar_subquery(),
    updated_at=select(model_versions.c.updated_at).where(_OWN).correlate(search_versions).scalar_subquery(),
    is_visible=_LIVING,
)
_ALIAS = field_name(Property(Facet.ALIAS))
_APPROVAL = field_name(Property(Facet.APPROVAL))


class SqlSearchIndex:
    """Follows changes. Writers take turns when it is called: the journal has locked the event sequence."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        is_sqlite = connection.dialect.name == "sqlite"
        self._texts = search_texts_sqlite if is_sqlite else search_texts
        self._text_key = self._texts.c.rowid if is_sqlite else self._texts.c.sequence
        self._words = " ".join if is_sqlite else _vector

    def follow(self, change: Change, sequence: int) -> None:
        """Write down what a change that is recorded under `sequence` means for searches."""
        kind, _, what = change.action.partition(".")
        if kind == "alias":
            self._move_alias(change)
        elif change.action == "version.registered":
            self._add(change.version_uid, sequence)
        elif change.version_uid:
            self._refresh_states(change)
            if what == "updated":
                self._replace_notes(change.version_uid)
        elif what == "updated":
            self._replace_model_words(change.model_uid)
        elif what in ("deleted", "undeleted"):
            self._connection.execute(_STATE.where(search_versions.c.model_uid == change.model_uid))

    def _add(self, version_uid: str, sequence: int) -> None:
        row = self._source(version_uid)
        facts = load_facts(row.facts)
        notes = load_notes(row.notes, description=row.description, tags=row.tags)
        self._connection.execute(
            insert(search_versions).values(
                sequence=sequence,
                version_uid=version_uid,
                model_uid=row.model_uid,
                tenant=row.tenant,
                name=row.name,
                number=row.number,
                stage=row.stage,
                creator=row.created_by[:INDEXED_CHARACTERS],
                git_commit=facts.provenance.git_commit,
                run_id=row.run_id,
                created_at=row.created_at,
                updated_at=row.updated_at,
                semantic_version_key=row.semantic_version_key,
                is_visible=row.deleted_at is None,
            )
        )
        terms = [*fact_terms(facts), *tag_terms(notes.tags), *self._parent_terms(version_uid)]
        self._insert_terms(row.tenant, sequence, terms)
        of_model = model_words(row.model_description, load(row.model_tags))
        self._connection.execute(
            insert(self._texts).values(
                {
                    self._text_key: sequence,
                    self._texts.c.words: self._words(version_words(row.name, notes)),
                    self._texts.c.model_words: self._words(of_model),
                }
            )
        )

    def _parent_terms(self, version_uid: str) -> list[Term]:
        query = (
            select(models.c.name, model_versions.c.number)
            .join_from(version_origins, model_versions, model_versions.c.uid == version_origins.c.parent_uid)
            .join(models, models.c.uid == model_versions.c.model_uid)
            .where(version_origins.c.version_uid == version_uid)
        )
        row = self._connection.execute(query).first()
        return [] if row is None else parent_term(row.name, row.number or 0)

    def _refresh_states(self, change: Change) -> None:
        """Of the version, and of those that it displaced."""
        archived: Any = (change.after or {}).get("archived", ())
        mine = search_versions.c.number.in_([change.number, *archived])
        self._connection.execute(_STATE.where(search_versions.c.model_uid == change.model_uid, mine))

    def _replace_notes(self, version_uid: str) -> None:
        sequence = self._sequence(version_uid)
        if sequence is None:
            return
        row = self._source(version_uid)
        notes = load_notes(row.notes, description=row.description, tags=row.tags)
        tags = (
            select(search_terms.c.field_id)
            .join(search_fields, search_fields.c.id == search_terms.c.field_id)
            .where(search_terms.c.sequence == sequence, search_fields.c.name.startswith(TAGS, autoescape=True))
        )
        found = self._connection.execute(tags).scalars().all()
        self._connection.execute(
            delete(search_terms).where(search_terms.c.sequence == sequence, search_terms.c.field_id.in_(found))
        )
        self._insert_terms(row.tenant, sequence, tag_terms(notes.tags))
        self._replace_words(row, sequence)

    def replace_words(self, version_uid: str) -> None:
        """A version's card says something else: free text finds it by these words from now on."""
        sequence = self._sequence(version_uid)
        if sequence is not None:
            self._replace_words(self._source(version_uid), sequence)

    def set_approval(self, tenant: str, version_uid: str, status: str) -> None:
        """A version's latest approval stands so from now on."""
        sequence = self._sequence(version_uid)
        if sequence is None:
            return
        field_id = self._field_ids(tenant, [_APPROVAL])[_APPROVAL]
        self._connection.execute(
            delete(search_terms).where(search_terms.c.sequence == sequence, search_terms.c.field_id == field_id)
        )
        self._insert_terms(tenant, sequence, [Term(_APPROVAL, text=status)])

    def add_card(self, sequence: int, content: str) -> None:
        """The version that was registered under `sequence` has its first card: free text finds it by these words, too."""
        said = card_words(load(content))
        if not said:
            return
        words: ColumnElement[Any] = self._texts.c.words.op("||")(
            " " + " ".join(said) if self._texts is search_texts_sqlite else _vector(said)
        )
        self._connection.execute(update(self._texts).where(self._text_key == sequence).values(words=words))

    def _replace_words(self, row: Row[Any], sequence: int) -> None:
        notes = load_notes(row.notes, description=row.description, tags=row.tags)
        words = self._words(version_words(row.name, notes, self._card(row.uid)))
        self._connection.execute(update(self._texts).where(self._text_key == sequence).values(words=words))

    def _card(self, version_uid: str) -> Mapping[str, object]:
        query = select(model_cards.c.content).where(model_cards.c.version_uid == version_uid)
        content = self._connection.execute(query.order_by(model_cards.c.revision.desc()).limit(1)).scalar()
        return load(content) if content else {}

    def _sequence(self, version_uid: str) -> int | None:
        query = select(search_versions.c.sequence).where(search_versions.c.version_uid == version_uid)
        return self._connection.execute(query).scalar()

    def _replace_model_words(self, model_uid: str) -> None:
        row = self._connection.execute(
            select(models.c.description, models.c.tags).where(models.c.uid == model_uid)
        ).one()
        words = self._words(model_words(row.description, load(row.tags)))
        versions = select(search_versions.c.sequence).where(search_versions.c.model_uid == model_uid)
        self._connection.execute(update(self._texts).where(self._text_key.in_(versions)).values(model_words=words))

    def _move_alias(self, change: Change) -> None:
        field_id = self._field_ids(change.model.tenant, [_ALIAS])[_ALIAS]
        of_model = select(search_versions.c.sequence).where(search_versions.c.model_uid == change.model_uid)
        self._connection.execute(
            delete(search_terms).where(
                search_terms.c.field_id == field_id,
                search_terms.c.text == change.alias,
                search_terms.c.sequence.in_(of_model),
            )
        )
        if not change.number:
            return
        target = of_model.where(search_versions.c.number == change.number)
        sequence = self._connection.execute(target).scalar()
        if sequence is None:
            return
        taken = select(func.coalesce(func.max(search_terms.c.place) + 1, 0)).where(
            search_terms.c.sequence == sequence, search_terms.c.field_id == field_id
        )
        place = self._connection.execute(taken).scalar_one()
        self._insert_terms(change.model.tenant, sequence, [Term(_ALIAS, text=change.alias, place=place)])

    def _insert_terms(self, tenant: str, sequence: int, terms: Sequence[Term]) -> None:
        if not terms:
            return
        ids = self._field_ids(tenant, {term.field for term in terms})
        rows = [{"sequence": sequence, "field_id": ids[term.field], **term.columns} for term in terms]
        self._connection.execute(insert(search_terms), rows)

    def _field_ids(self, tenant: str, names: Iterable[str]) -> Mapping[str, int]:
        """Ids of fields, new ones included."""
        wanted = sorted(names)
        found = known_ids(self._connection, tenant, wanted)
        missing = [{"tenant": tenant, "name": name} for name in wanted if name not in found]
        if missing:
            self._connection.execute(insert(search_fields), missing)
            found = known_ids(self._connection, tenant, wanted)
        return found

    def _source(self, version_uid: str) -> Row[Any]:
        return self._connection.execute(_SOURCE.where(model_versions.c.uid == version_uid)).one()


def _vector(words: Sequence[str]) -> ColumnElement[Any]:
    """The words as they are: PostgreSQL is not to split or to bend them."""
    return func.array_to_tsvector(cast(list(words), ARRAY(Text)))
