"""Replies as they were sent, kept by what they resolve, and dropped when an event of their model passes by.

What makes an entry safe are event sequences, which are given out in the order of commits. `position` is how far this
process has followed them: everything up to it has been dropped. An entry carries a sequence that its read is sure to
reflect; an event beyond that drops it, and a read that such an event overtook on its way here is not kept at all.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from threading import Lock

from registrar_server.application.ports.database import ModelEvent
from registrar_server.domain.values import ModelKey

_MODELS_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh an answer must be. By default what the cache holds will do."""

    is_strong: bool = False
    """Everything that was committed before the call."""
    at_least: int = 0
    """Everything up to the event with this sequence."""


@dataclass(slots=True)
class _Entry:
    reply: bytes
    reflects: int
    """A sequence up to which the reply reflects every event, maybe more."""
    expires: float


class ReplyCache:
    """Thread-safe. Least recently used models are dropped when their replies exceed `size_bytes`.

    `ttl_seconds` bounds the age of an entry whatever happens; 0: nothing is kept.
    """

    def __init__(
        self, ttl_seconds: float, *, size_bytes: int = 32 * 2**20, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.ttl_seconds = ttl_seconds
        self.hits = 0
        self.misses = 0
        self.overtaken = 0
        """Replies that were not kept because an event passed while they were read."""
        self._size_bytes = size_bytes
        self._now = now
        self._lock = Lock()
        self._models: OrderedDict[ModelKey, dict[Hashable, _Entry]] = OrderedDict()
        self._held_bytes = 0
        self._position = 0
        self._committed = 0
        self._changed: OrderedDict[ModelKey, int] = OrderedDict()
        self._forgotten = 0
        self._restarts = 0

    @property
    def position(self) -> int:
        """Every event up to this sequence has been taken into account."""
        return self._position

    @property
    def entries(self) -> int:
        """How many replies are held."""
        with self._lock:
            return sum(map(len, self._models.values()))

    def read(
        self, model: ModelKey, key: Hashable, freshness: Freshness, load: Callable[[], tuple[bytes, bool]]
    ) -> bytes:
        """The reply to `key`, a question about `model`: a kept one that is fresh enough, or what `load` reads.

        `load` reads the database after this call began and says whether its reply may be kept.
        """
        if not freshness.is_strong:
            reply = self._find(model, key, freshness.at_least)
            if reply is not None:
                return reply
        self.misses += 1
        # Both were committed before the read that follows begins, so it reflects them.
        reflects, restarts = max(self._position, self._committed), self._restarts
        reply, is_kept = load()
        if is_kept and self.ttl_seconds:
            self._keep(model, key, _Entry(reply, reflects, self._now() + self.ttl_seconds), restarts)
        return reply

    def follow(self, events: Iterable[ModelEvent], position: int) -> None:
        """Take the next events into account: everything up to `position`."""
        with self._lock:
            for event in events:
                self._drop(event)
            self._position = max(self._position, position)

    def commit(self, events: Iterable[ModelEvent]) -> None:
        """Take into account what this process itself has just committed, ahead of its place in the sequence."""
        with self._lock:
            for event in events:
                self._drop(event)
                self._committed = max(self._committed, event.sequence)

    def restart(self, position: int) -> None:
        """Drop everything, and go on from `position`: where following starts, or the database went back in time."""
        with self._lock:
            self._models.clear()
            self._changed.clear()
            self._held_bytes = self._committed = self._forgotten = 0
            self._position = position
            # A read that began before may reflect what is no more.
            self._restarts += 1

    def _find(self, model: ModelKey, key: Hashable, at_least: int) -> bytes | None:
        with self._lock:
            entry = self._models.get(model, _NONE).get(key)
            if entry is None or entry.expires <= self._now():
                return None
            if at_least > self._position and at_least > entry.reflects:
                return None
            self._models.move_to_end(model)
            self.hits += 1
            return entry.reply

    def _keep(self, model: ModelKey, key: Hashable, entry: _Entry, restarts: int) -> None:
        with self._lock:
            passed = max(self._changed.get(model, 0), self._forgotten)
            if entry.reflects < passed or restarts != self._restarts:
                self.overtaken += 1
                return
            held = self._models.setdefault(model, {})
            before = held.get(key)
            if before is not None and before.reflects > entry.reflects:
                return
            self._held_bytes += len(entry.reply) - (len(before.reply) if before else 0)
            held[key] = entry
            self._models.move_to_end(model)
            while self._held_bytes > self._size_bytes:
                _, dropped = self._models.popitem(last=False)
                self._held_bytes -= sum(len(entry.reply) for entry in dropped.values())

    def _drop(self, event: ModelEvent) -> None:
        if event.sequence > self._changed.get(event.model, 0):
            self._changed[event.model] = event.sequence
            self._changed.move_to_end(event.model)
            if len(self._changed) > _MODELS_REMEMBERED:
                self._forgotten = max(self._forgotten, self._changed.popitem(last=False)[1])
        held = self._models.get(event.model)
        if held is None:
            return
        for key in [key for key, entry in held.items() if entry.reflects < event.sequence]:
            self._held_bytes -= len(held.pop(key).reply)
        if not held:
            del self._models[event.model]


_NONE: dict[Hashable, _Entry] = {}
