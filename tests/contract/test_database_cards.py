"""What every implementation of the port `CardRecords` must do, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.cards.document import card_digest, dump_card
from registrar_server.application.ports.database import BundleClaim, NewModel
from registrar_server.domain.bundles import BundleFile, FileType, Manifest
from registrar_server.domain.cards import CardRevision, CardSection, CardState, IntendedUse, ModelCard
from registrar_server.domain.search import Search, Word, Words
from registrar_server.domain.versions import Notes
from tests.fixtures.database import NOON, add_version, at, change, uid
from tests.fixtures.search import Shelf


def card_of(text: str) -> ModelCard:
    return ModelCard(intended_use=IntendedUse(primary_use=text))


def revise(
    shelf: Shelf, model: NewModel, version_uid: str, revision: int, text: str, time: datetime = NOON
) -> CardRevision:
    """Write a revision as the use case does."""
    card = card_of(text)
    content = dump_card(card)
    state = CardState(revision, card_digest(content, revision), card.sections, "alice", is_prefilled=False, time=time)
    with shelf.database.writing() as transaction:
        revised = change(model, "card.revised", version_uid=version_uid, number=1, is_mirrored=False)
        made = CardRevision(version_uid, state, content, transaction.journal.record(revised))
        transaction.cards.add(made)
    return made


@pytest.fixture
def shelf(database: SqlDatabase) -> Shelf:
    return Shelf(database)


@pytest.fixture
def model(shelf: Shelf) -> NewModel:
    return shelf.model("fraud")


@pytest.fixture
def version(shelf: Shelf, model: NewModel) -> str:
    return shelf.register(model, 1)


def test_a_version_without_a_card_has_none(shelf: Shelf, version: str) -> None:
    with shelf.database.reading() as transaction:
        assert transaction.cards.state(version) is None
        assert transaction.cards.get(version) is None
        assert transaction.cards.at_sequence(version, 10**9) is None
        assert transaction.cards.content(version, 1) == ""
        assert transaction.cards.revisions(version, before=0, limit=9) == []
        assert not transaction.cards.is_any_unstored()


def test_revisions_are_added_and_the_last_one_is_the_card(shelf: Shelf, model: NewModel, version: str) -> None:
    first, second, third = (revise(shelf, model, version, n, f"text {n}", at(n)) for n in (1, 2, 3))
    with shelf.database.reading() as transaction:
        cards = transaction.cards
        assert cards.state(version) == third.state
        assert third.state.sections == {CardSection.INTENDED_USE}
        assert cards.get(version) == third
        assert cards.get(version, 1) == first
        assert cards.get(version, 4) is None
        assert cards.content(version, 2) == second.content
        assert [one.state for one in cards.revisions(version, before=0, limit=2)] == [third.state, second.state]
        assert [(one.state, one.content) for one in cards.revisions(version, before=2, limit=2)] == [(first.state, "")]


def test_a_card_can_be_asked_for_as_of_an_event(shelf: Shelf, model: NewModel, version: str) -> None:
    first, second = (revise(shelf, model, version, n, f"text {n}") for n in (1, 2))
    with shelf.database.reading() as transaction:
        found = [transaction.cards.at_sequence(version, first.sequence + step) for step in (-1, 0, 1)]
    assert found == [None, first, second]


def test_the_database_itself_refuses_a_revision_that_is_there(shelf: Shelf, model: NewModel, version: str) -> None:
    revise(shelf, model, version, 1, "one")
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        revise(shelf, model, version, 1, "two")


def test_what_is_not_stored_is_found_the_oldest_first_until_it_is(shelf: Shelf, model: NewModel, version: str) -> None:
    other = shelf.register(model, 2)
    for version_uid, revision in ((version, 1), (other, 1), (version, 2)):
        revise(shelf, model, version_uid, revision, "text")
    with shelf.database.writing() as transaction:
        keys = [card.key for card in transaction.cards.unstored(limit=9)]
        assert keys == [f"default/{model.uid}/cards/{place}" for place in ("1/1", "2/1", "1/2")]
        assert transaction.cards.is_any_unstored()
        transaction.cards.set_stored(version, 1, at(5))
        assert [card.version_uid for card in transaction.cards.unstored(limit=1)] == [other]
        found = transaction.cards.get(version, 1)
        assert found is not None
        assert found.is_stored
        transaction.cards.set_stored(other, 1, at(5))
        transaction.cards.set_stored(version, 2, at(5))
        assert not transaction.cards.is_any_unstored()


def test_free_text_finds_a_version_by_the_last_revision_of_its_card(
    shelf: Shelf, model: NewModel, version: str
) -> None:
    def found(word: str) -> list[str]:
        return shelf.find(Search("default", Words((Word(word),))))

    shelf.register(model, 2)
    revise(shelf, model, version, 1, "Screens chargebacks")
    assert (found("chargebacks"), found("primary")) == ([version], [])
    shelf.note(model, version, 1, Notes(description="renamed"))
    assert (found("chargebacks"), found("renamed")) == ([version], [version])
    revise(shelf, model, version, 2, "Screens loans")
    assert (found("chargebacks"), found("loans"), found("renamed")) == ([], [version], [version])
    shelf.hide(model, version, 1)
    assert found("loans") == []


def test_free_text_finds_a_version_by_what_was_prefilled(shelf: Shelf, model: NewModel) -> None:
    card = card_of("Screens chargebacks")
    with shelf.database.writing() as transaction:
        version = add_version(transaction, model, 1)
        registered = change(model, "version.registered", version_uid=version, number=1)
        content = dump_card(card)
        state = CardState(1, card_digest(content, 1), card.sections, "registrar", is_prefilled=True, time=NOON)
        transaction.cards.add(CardRevision(version, state, content, transaction.journal.record(registered)))
    for word in ("chargebacks", "fraud"):
        assert shelf.find(Search("default", Words((Word(word),)))) == [version]


def test_the_card_files_of_a_bundle_are_found_by_their_type(shelf: Shelf, model: NewModel) -> None:
    files = [
        BundleFile("b/README.md", 3, "1" * 64, FileType.CARD),
        BundleFile("model.pkl", 3, "2" * 64, FileType.MODEL),
        BundleFile("a.yaml", 3, "3" * 64, FileType.CARD),
    ]
    manifest = Manifest(tuple(files))
    with shelf.database.writing() as transaction:
        wanted = BundleClaim(uid(), f"default/{model.uid}/x")
        claim = transaction.bundles.claim(wanted, model.uid, "default", manifest.digest, until=at(60))
        assert transaction.bundles.commit(
            claim.uid, manifest, wipes=claim.wipes, uri="s3://b/x", created_by="local", time=NOON
        )
        assert transaction.cards.files(claim.uid) == [files[2], files[0]]
        assert transaction.cards.files(uid()) == []
