"""Use cases about model cards: read, list, write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.cards.document import NoCard, card_digest, dump_card, load_card, normal
from registrar_server.application.cards.texts import render
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import Change, Database, Transaction
from registrar_server.application.resolution import find_version, lock_model, require_etag, require_usable
from registrar_server.domain.cards import CARD_BYTES, CardFormat, CardRevision, CardState, ModelCard, card_key
from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError, Violation
from registrar_server.domain.values import VersionRef
from registrar_server.domain.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class ShownCard:
    """A revision of a version's card; `card` None where it was not asked for, `uri` empty until the object is there."""

    version: ModelVersion
    revision: CardRevision
    card: ModelCard | None
    uri: str


@dataclass(frozen=True, slots=True)
class CardRevised:
    """A card after a change, and the change's event (0: nothing changed)."""

    shown: ShownCard
    sequence: int


class Cards:
    """Reads and writes cards. `uri_of` gives the address of a key in the object store."""

    def __init__(self, database: Database, mutations: Mutations, uri_of: Callable[[str], str]) -> None:
        self._database = database
        self._mutations = mutations
        self._uri_of = uri_of

    def get(self, ref: VersionRef, revision: int) -> ShownCard:
        """A revision of a version's card, 0: the last. CARD_NOT_FOUND."""
        with self._database.reading() as transaction:
            version = find_version(transaction, ref)
            found = transaction.cards.get(version.uid, revision)
        if found is None:
            raise _card_absent(version, revision)
        return self._shown(version, found)

    def render(self, ref: VersionRef, revision: int, form: CardFormat) -> tuple[str, ShownCard]:
        """A revision as a text, and which it is, without its card. CARD_NOT_FOUND."""
        shown = self.get(ref, revision)
        return render(shown.card or ModelCard(), form), replace(shown, card=None)

    def revisions(self, ref: VersionRef, *, before: int, limit: int) -> Sequence[ShownCard]:
        """Revisions without what they say, the newest first, those below `before` only (0: all)."""
        with self._database.reading() as transaction:
            version = find_version(transaction, ref)
            found = transaction.cards.revisions(version.uid, before=before, limit=limit)
        return [self._shown(version, one) for one in found]

    def update(
        self,
        mutation: Mutation[CardRevised],
        ref: VersionRef,
        etag: str,
        card: ModelCard,
        fields: Collection[str],
        comment: str,
    ) -> bytes:
        """Write a new revision: of the fields that are named, or of all when none is. INVALID_FIELD, ETAG_MISMATCH."""

        def action(transaction: Transaction, now: datetime) -> CardRevised:
            lock_model(transaction, ref.model)
            version = find_version(transaction, ref)
            require_usable(version)
            last = transaction.cards.get(version.uid)
            require_etag(etag, last.etag if last else "")
            wanted = _checked(_merged(last, card, fields))
            content = dump_card(wanted)
            if last is not None and last.content == content:
                return CardRevised(self._shown(version, last), 0)
            number = last.state.revision + 1 if last else 1
            digest = card_digest(content, number)
            state = CardState(number, digest, wanted.sections, mutation.caller.actor, is_prefilled=False, time=now)
            change = Change(
                action="card.revised",
                caller=mutation.caller,
                time=now,
                model=version.model,
                model_uid=version.model_uid,
                version_uid=version.uid,
                number=version.number,
                comment=comment,
                before=_summary(last.state) if last else {},
                after=_summary(state),
                request_id=mutation.request_id,
                is_mirrored=False,
            )
            sequence = transaction.journal.record(change)
            revision = CardRevision(version.uid, state, content, sequence)
            transaction.cards.add(revision)
            return CardRevised(self._shown(version, revision), sequence)

        return self._mutations.run(mutation, action)

    def _shown(self, version: ModelVersion, revision: CardRevision) -> ShownCard:
        key = card_key(version.model.tenant, version.model_uid, version.number, revision.state.revision)
        card = load_card(revision.content) if revision.content else None
        return ShownCard(version, revision, card, self._uri_of(key) if revision.is_stored else "")


def _merged(last: CardRevision | None, card: ModelCard, fields: Collection[str]) -> ModelCard:
    if not fields:
        return card
    before = load_card(last.content) if last else ModelCard()
    return replace(before, **{name: getattr(card, name) for name in fields})


def _checked(card: ModelCard) -> ModelCard:
    """The card in its normal form; INVALID_FIELD when it has none, or is too large."""
    try:
        made = normal(card)
    except NoCard as exc:
        raise InvalidRequest([Violation("card", str(exc))]) from None
    size = len(dump_card(made).encode())
    if size > CARD_BYTES:
        raise InvalidRequest([Violation("card", f"has {size} bytes as JSON, at most {CARD_BYTES} are allowed")])
    return made


def _summary(state: CardState) -> dict[str, object]:
    return {"card_digest": state.digest, "card_revision": state.revision}


def _card_absent(version: ModelVersion, revision: int) -> RegistrarError:
    name, number = version.model.name, version.number
    which = f"no revision {revision} of its card" if revision else "no card"
    return RegistrarError(
        Reason.CARD_NOT_FOUND,
        f"version {number} of {name} has {which}",
        metadata={"model": name, "version": str(number), "revision": str(revision)},
    )
