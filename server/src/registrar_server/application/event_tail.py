"""Follow the events, so that a cache holds nothing that another process has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from registrar_server.application.ports.database import Database, ModelEvent
from registrar_server.application.reply_cache import ReplyCache
from registrar_server.domain.errors import RegistrarError

_log = structlog.get_logger()

_AT_ONCE = 1_000


class Listener(Protocol):
    """Told of events beside the cache."""

    def notice(self, events: Sequence[ModelEvent]) -> None:
        """The next ones, in order."""

    def forget(self) -> None:
        """Some may have been missed."""


class EventTail:
    """A thread that reads the event sequence every `pause_seconds` and empties `cache` accordingly.

    While the database does not answer, the cache's entries live on until their time is up, and `is_degraded` says so
    once that has lasted for `patience_seconds`.
    """

    def __init__(
        self,
        database: Database,
        cache: ReplyCache,
        listener: Listener | None = None,
        *,
        pause_seconds: float = 0.04,
        patience_seconds: float = 1.0,
    ) -> None:
        self._database = database
        self._cache = cache
        self._listener = listener
        self._pause_seconds = pause_seconds
        self._patience_seconds = patience_seconds
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-tail", daemon=True)
        self._followed_at = time.monotonic()
        self._head = 0
        self._has_begun = False

    def start(self) -> None:
        """Follow from where the sequence stands when the database first answers."""
        self._followed_at = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._is_stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def seconds_behind(self) -> float:
        """How long ago the cache was last known to be up to date."""
        return time.monotonic() - self._followed_at

    @property
    def events_behind(self) -> int:
        """How many events were there, when last looked, that the cache did not know."""
        return max(0, self._head - self._cache.position)

    @property
    def is_degraded(self) -> bool:
        """Whether another process's changes may go unseen until entries are too old."""
        return self._thread.is_alive() and self.seconds_behind > self._patience_seconds

    def follow(self) -> None:
        """Take every event into account that is there now. The first time, and where the database went back to an
        earlier time, there is nothing to go on from: everything is dropped.
        """
        began = time.monotonic()
        while True:
            position = self._cache.position
            self._head, events = self._database.events_after(position, limit=_AT_ONCE if self._has_begun else 0)
            if self._head < position or not self._has_begun:
                _log.info("cache.began", position=position, head=self._head)
                self._cache.restart(self._head)
                if self._listener is not None:
                    self._listener.forget()
                self._has_begun = True
            elif events:
                if self._listener is not None:
                    self._listener.notice(events)
                self._cache.follow(events, events[-1].sequence)
            if self._cache.position >= self._head:
                break
        self._followed_at = began

    def _run(self) -> None:
        is_following = True
        while not self._is_stopping.wait(self._pause_seconds):
            try:
                self.follow()
            except RegistrarError as exc:
                if is_following:
                    _log.warning("cache.not_following", reason=exc.reason.value)
                is_following = False
            except Exception:  # noqa: BLE001  (the thread must outlive what nobody expected)
                _log.exception("cache.unexpected")
                is_following = False
            else:
                if not is_following:
                    _log.info("cache.following", position=self._cache.position)
                is_following = True
