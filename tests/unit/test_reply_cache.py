"""The cache against a database that other processes change at any moment: it may be late, never wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from registrar_server.application.ports.database import ModelEvent
from registrar_server.application.reply_cache import Freshness, ReplyCache
from registrar_server.domain.values import ModelKey

MODEL = ModelKey("default", "churn")
OTHER = ModelKey("default", "fraud")
STRONG = Freshness(is_strong=True)
ANY = Freshness()


def reading(cache: ReplyCache, reply: bytes, *, model: ModelKey = MODEL, freshness: Freshness = ANY) -> bytes:
    return cache.read(model, "key", freshness, lambda: (reply, True))


def test_a_reply_is_kept_until_an_event_of_its_model_passes() -> None:
    cache = ReplyCache(60)
    assert reading(cache, b"one") == b"one"
    cache.follow([ModelEvent(1, OTHER)], 1)
    assert reading(cache, b"two") == b"one"
    cache.follow([ModelEvent(2, MODEL)], 2)
    assert reading(cache, b"two") == b"two"
    assert (cache.hits, cache.misses, cache.position, cache.entries) == (1, 2, 2, 1)


def test_a_strong_read_takes_no_notice_of_what_is_kept_and_renews_it() -> None:
    cache = ReplyCache(60)
    reading(cache, b"one")
    assert reading(cache, b"two", freshness=STRONG) == b"two"
    assert reading(cache, b"three") == b"two"


def test_an_entry_ends_with_its_time() -> None:
    now = [0.0]
    cache = ReplyCache(5, now=lambda: now[0])
    reading(cache, b"one")
    now[0] = 4.9
    assert reading(cache, b"two") == b"one"
    now[0] = 5.0
    assert reading(cache, b"two") == b"two"


def test_nothing_is_kept_without_a_time_to_live() -> None:
    cache = ReplyCache(0)
    reading(cache, b"one")
    assert reading(cache, b"two") == b"two"
    assert cache.entries == 0


def test_nothing_is_kept_that_may_not_be() -> None:
    cache = ReplyCache(60)
    cache.read(MODEL, "key", ANY, lambda: (b"pending", False))
    assert reading(cache, b"ready") == b"ready"


def test_a_read_that_an_event_overtook_is_not_kept() -> None:
    cache = ReplyCache(60)

    def load() -> tuple[bytes, bool]:
        cache.follow([ModelEvent(1, MODEL)], 1)
        return b"before", True

    assert cache.read(MODEL, "key", ANY, load) == b"before"
    assert (reading(cache, b"after"), cache.overtaken) == (b"after", 1)


def test_a_commit_of_this_process_is_seen_at_once_and_its_event_drops_nothing_newer() -> None:
    cache = ReplyCache(60)
    cache.restart(4)
    reading(cache, b"old")
    cache.commit([ModelEvent(7, MODEL)])
    assert reading(cache, b"new", freshness=Freshness(at_least=7)) == b"new"
    assert reading(cache, b"?", freshness=Freshness(at_least=7)) == b"new"
    cache.follow([ModelEvent(5, OTHER), ModelEvent(6, OTHER), ModelEvent(7, MODEL)], 7)
    assert reading(cache, b"?") == b"new"


def test_a_reader_who_knows_more_than_the_cache_has_followed_is_answered_by_the_database() -> None:
    cache = ReplyCache(60)
    reading(cache, b"old")
    assert reading(cache, b"new", freshness=Freshness(at_least=3)) == b"new"
    cache.follow([ModelEvent(1, OTHER), ModelEvent(2, OTHER), ModelEvent(3, OTHER)], 3)
    assert reading(cache, b"?", freshness=Freshness(at_least=3)) == b"new"


def test_a_made_up_sequence_keeps_no_entry_alive() -> None:
    cache = ReplyCache(60)
    reading(cache, b"old", freshness=Freshness(at_least=2**62))
    cache.follow([ModelEvent(1, MODEL)], 1)
    assert reading(cache, b"new") == b"new"


def test_a_read_from_before_a_restart_is_not_kept() -> None:
    cache = ReplyCache(60)
    cache.follow([], 9)

    def load() -> tuple[bytes, bool]:
        cache.restart(2)
        return b"of a database that is no more", True

    cache.read(MODEL, "key", ANY, load)
    assert (reading(cache, b"new"), cache.position) == (b"new", 2)


def test_the_least_recently_used_models_make_way() -> None:
    cache = ReplyCache(60, size_bytes=25)
    models = [ModelKey("default", f"m{number}") for number in range(3)]
    for model in models[:2]:
        reading(cache, b"x" * 10, model=model)
    reading(cache, b"?", model=models[0])
    reading(cache, b"y" * 10, model=models[2])
    assert [reading(cache, b"-", model=model) for model in (models[0], models[2], models[1])] == [
        b"x" * 10,
        b"y" * 10,
        b"-",
    ]


def test_a_reply_that_is_larger_than_the_cache_is_sent_and_not_kept() -> None:
    cache = ReplyCache(60, size_bytes=5)
    assert reading(cache, b"too large") == b"too large"
    assert cache.entries == 0


def test_it_does_not_remember_every_model_that_ever_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registrar_server.application.reply_cache._MODELS_REMEMBERED", 2)
    cache = ReplyCache(60)

    def load() -> tuple[bytes, bool]:
        events = [ModelEvent(number + 1, ModelKey("default", f"m{number}")) for number in range(3)]
        cache.follow([ModelEvent(1, MODEL), *events[1:]], 3)
        return b"overtaken", True

    cache.read(MODEL, "key", ANY, load)
    assert reading(cache, b"new") == b"new"


class Races(RuleBasedStateMachine):
    """A log of events is the database; a reply is the number of its model's last event when it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = ReplyCache(60, size_bytes=20)
        self.log: list[tuple[ModelKey, bool]] = []
        self.own: set[int] = set()

    @property
    def head(self) -> int:
        return len(self.log)

    def last(self, model: ModelKey, until: int) -> int:
        return max((index + 1 for index, (of, _) in enumerate(self.log[:until]) if of == model), default=0)

    def act(self, action: str) -> None:
        model = OTHER if action.endswith("other") else MODEL
        if action.startswith("elsewhere"):
            self.log.append((model, False))
        elif action.startswith("here"):
            self.log.append((model, True))
            self.cache.commit([ModelEvent(self.head, model)])
        elif self.cache.position < self.head:
            start = self.cache.position
            until = start + 1 if action == "follow one" else self.head
            events = [ModelEvent(index + 1, self.log[index][0]) for index in range(start, until)]
            self.cache.follow(events, until)

    actions = st.lists(
        st.sampled_from(["elsewhere", "elsewhere other", "here", "here other", "follow one", "follow all"]), max_size=3
    )

    @rule(actions=actions)
    def acts(self, actions: list[str]) -> None:
        for action in actions:
            self.act(action)

    @rule(
        model=st.sampled_from([MODEL, OTHER]),
        key=st.sampled_from("ab"),
        before=actions,
        after=actions,
        ask=st.sampled_from(["any", "strong", "own", "middle"]),
    )
    def reads(self, model: ModelKey, key: str, before: list[str], after: list[str], ask: str) -> None:
        own = max((index + 1 for index, (_, is_own) in enumerate(self.log) if is_own), default=0)
        at_least = {"any": 0, "strong": self.head, "own": own, "middle": self.head // 2}[ask]
        followed = max(self.cache.position, self.last_own(model))
        freshness = STRONG if ask == "strong" else Freshness(at_least=at_least)

        def load() -> tuple[bytes, bool]:
            for action in before:
                self.act(action)
            reply = str(self.last(model, self.head)).encode()
            for action in after:
                self.act(action)
            return reply, True

        answered = int(self.cache.read(model, key, freshness, load))
        assert answered >= self.last(model, max(followed, at_least))
        assert answered <= self.last(model, self.head)

    def last_own(self, model: ModelKey) -> int:
        own = (index + 1 for index, (of, is_own) in enumerate(self.log) if is_own and of == model)
        return max(own, default=0)

    @invariant()
    def holds_no_more_than_it_may(self) -> None:
        held: Any = self.cache._models
        assert sum(len(entry.reply) for entries in held.values() for entry in entries.values()) <= 20


TestRaces: Callable[..., Any] = Races.TestCase
TestRaces.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)  # type: ignore[attr-defined]
