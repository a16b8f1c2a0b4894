"""Puts cards into the object store, beside the files of their versions: one object for each revision, as Markdown."""

from __future__ import annotations

import structlog

from registrar_server.application.cards.document import load_card
from registrar_server.application.cards.markdown import render_markdown
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database

_log = structlog.get_logger()

_AT_ONCE = 20


class CardStoring:
    """Writes what is not there yet. Two that do the same write the same bytes, and an object is never written over."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def work(self) -> bool:
        """Put some; whether there were any. STORE_UNAVAILABLE, STORE_FULL: what was put is remembered all the same."""
        with self._database.reading() as transaction:
            if not transaction.cards.is_any_unstored():
                return False
            cards = transaction.cards.unstored(limit=_AT_ONCE)
        done = []
        try:
            for card in cards:
                self._store.put_object(card.key, render_markdown(load_card(card.content)).encode())
                done.append(card)
        finally:
            if done:
                with self._database.writing() as transaction:
                    for card in done:
                        transaction.cards.set_stored(card.version_uid, card.revision, self._clock.now())
        _log.info("cards.stored", count=len(done))
        return True
