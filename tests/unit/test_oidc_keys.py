"""When keys are fetched: as often as needed, as seldom as possible, and by nobody who need not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import structlog

from registrar_server.adapters.oidc.key_set import KeySet, read_key_set
from registrar_server.adapters.oidc.keys import ProviderKeys
from registrar_server.adapters.oidc.provider import ProviderUnreachable
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.oidc_keys import signing_key

DEADLINE_SECONDS = 20.0
OLD = read_key_set({"keys": [signing_key("P-256", "old").jwk]})
NEW = read_key_set({"keys": [signing_key("P-256", "new").jwk]})


@dataclass
class Source:
    """What is fetched, and a clock that stands still."""

    keys: KeySet = OLD
    is_down: bool = False
    fetches: int = 0
    seconds: float = 1000.0
    flowing: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.flowing.set()

    def fetch(self) -> KeySet:
        self.fetches += 1
        self.begun.set()
        self.flowing.wait(DEADLINE_SECONDS)
        if self.is_down:
            raise ProviderUnreachable("it does not answer")
        # Of its own each time, as from the network.
        return KeySet(self.keys.keys)

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def keys(source: Source) -> ProviderKeys:
    return ProviderKeys("https://idp.example.com", source.fetch, source.now)


def fetched(keys: ProviderKeys) -> KeySet:
    return keys.newer_than(keys.current())


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def refusal(keys: ProviderKeys) -> RegistrarError:
    with pytest.raises(RegistrarError) as caught:
        fetched(keys)
    assert caught.value.reason is Reason.IDENTITY_PROVIDER_UNAVAILABLE
    return caught.value


def test_nothing_is_fetched_before_it_is_needed(source: Source, keys: ProviderKeys) -> None:
    assert not keys.current()
    assert keys.generation == 0
    assert source.fetches == 0


def test_whoever_needs_a_key_gets_the_new_ones(source: Source, keys: ProviderKeys) -> None:
    assert fetched(keys).keys == OLD.keys
    source.keys = NEW
    source.seconds += 1
    assert fetched(keys).keys == NEW.keys
    assert keys.generation == 2


def test_whoever_has_seen_older_keys_than_are_known_needs_no_fetch(source: Source, keys: ProviderKeys) -> None:
    nothing = keys.current()
    fetched(keys)
    assert keys.newer_than(nothing) is keys.current()
    assert source.fetches == 1


def test_the_same_keys_again_change_nothing(source: Source, keys: ProviderKeys) -> None:
    first = fetched(keys)
    source.seconds += 1
    assert fetched(keys) is first
    assert (keys.generation, source.fetches) == (1, 2)


def test_a_flood_of_unknown_keys_leads_to_one_fetch_a_pause(source: Source, keys: ProviderKeys) -> None:
    starts = []
    while source.seconds < 1240:
        before = source.fetches
        for _ in range(5):
            fetched(keys)
        if source.fetches > before:
            starts.append(source.seconds)
        source.seconds += 0.5
    # The first is what brings the keys, and the second what shows that there are no others.
    assert [after - before for before, after in pairwise(starts)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_provider_that_is_down_is_asked_once_a_pause(source: Source, keys: ProviderKeys) -> None:
    source.is_down = True
    asked = []
    while source.seconds < 1240:
        before = source.fetches
        told = refusal(keys).retry_after_seconds
        if source.fetches > before:
            asked.append(told)
        source.seconds += 0.5
    assert asked == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_new_keys_end_the_long_pauses(source: Source, keys: ProviderKeys) -> None:
    source.is_down = True
    for _ in range(8):
        refusal(keys)
        source.seconds += 60
    source.is_down = False
    fetched(keys)
    source.keys = NEW
    source.seconds += 1
    assert fetched(keys).keys == NEW.keys


def test_a_bad_token_now_and_then_makes_no_pause_longer(source: Source, keys: ProviderKeys) -> None:
    for _ in range(10):
        fetched(keys)
        source.seconds += 500
    fetched(keys)
    source.keys = NEW
    source.seconds += 1
    assert fetched(keys).keys == NEW.keys


def test_callers_at_the_same_time_share_one_fetch(source: Source, keys: ProviderKeys) -> None:
    source.flowing.clear()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(fetched, keys) for _ in range(8)]
        await_that(lambda: keys._places._value == 0)
        source.flowing.set()
        assert {id(answer.result(DEADLINE_SECONDS)) for answer in answers} == {id(keys.current())}
    assert source.fetches == 1


def test_no_more_than_a_few_callers_wait_and_the_others_are_told_to_come_back(
    source: Source, keys: ProviderKeys
) -> None:
    source.flowing.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(fetched, keys) for _ in range(8)]
        await_that(lambda: keys._places._value == 0)
        assert refusal(keys).retry_after_seconds == 1
        source.flowing.set()
        assert all(one.result(DEADLINE_SECONDS) for one in waiting)
    assert source.fetches == 1


def test_keys_that_are_known_are_there_while_others_wait(source: Source, keys: ProviderKeys) -> None:
    known = fetched(keys)
    source.seconds += 1
    source.flowing.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fetched, keys)
        assert source.begun.wait(DEADLINE_SECONDS)
        assert keys.current() is known
        assert keys.generation == 1
        source.flowing.set()
        assert waiting.result(DEADLINE_SECONDS) is known


def test_a_fetch_that_takes_too_long_is_waited_for_no_longer(
    source: Source, keys: ProviderKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registrar_server.adapters.oidc.keys._WAIT_SECONDS", 0.01)
    source.flowing.clear()
    refusal(keys)
    source.flowing.set()
    await_that(lambda: bool(keys.current()))


def test_keys_older_than_ten_minutes_are_fetched_without_anybody_waiting(source: Source, keys: ProviderKeys) -> None:
    known = fetched(keys)
    source.keys = NEW
    source.seconds += 600
    assert keys.current() is known
    assert source.fetches == 1
    source.seconds += 1
    source.flowing.clear()
    assert keys.current() is known
    source.flowing.set()
    await_that(lambda: keys.current().keys == NEW.keys)
    assert (source.fetches, keys.generation) == (2, 2)


def test_looking_at_the_generation_finds_that_keys_were_withdrawn(source: Source, keys: ProviderKeys) -> None:
    source.keys = KeySet(OLD.keys | NEW.keys)
    fetched(keys)
    source.keys = NEW
    source.seconds += 601
    await_that(lambda: keys.generation == 2)
    assert keys.current().keys == NEW.keys


def test_with_the_provider_down_known_keys_serve_for_a_day(source: Source, keys: ProviderKeys) -> None:
    known = fetched(keys)
    source.is_down = True
    source.seconds += 24 * 3600
    assert keys.current() is known
    await_that(lambda: keys._running is None)
    source.seconds += 1
    assert not keys.current()
    assert keys.generation == 2
    refusal(keys)


def test_with_the_provider_down_an_unknown_key_is_not_called_wrong(source: Source, keys: ProviderKeys) -> None:
    fetched(keys)
    source.is_down = True
    source.seconds += 1
    assert refusal(keys).retry_after_seconds == 2
    source.seconds += 1.5
    assert refusal(keys).retry_after_seconds == 1
    source.is_down, source.keys = False, NEW
    source.seconds += 0.5
    assert fetched(keys).keys == NEW.keys


def test_a_provider_without_keys_has_withdrawn_them_all(source: Source, keys: ProviderKeys) -> None:
    fetched(keys)
    source.keys = KeySet()
    source.seconds += 1
    assert not fetched(keys)
    assert keys.generation == 2
    refusal(keys)


def test_what_nobody_expected_counts_as_no_answer(monkeypatch: pytest.MonkeyPatch, source: Source) -> None:
    def broken() -> KeySet:
        raise ZeroDivisionError

    keys = ProviderKeys("https://idp.example.com", broken, source.now)
    with structlog.testing.capture_logs() as logged:
        refusal(keys)
    assert [line["event"] for line in logged] == ["oidc.fetch_failed", "oidc.provider_unreachable"]
    monkeypatch.setattr(keys, "_fetch", source.fetch)
    source.seconds += 1
    assert fetched(keys).keys == OLD.keys


def test_changes_and_failures_are_logged_once_each(source: Source, keys: ProviderKeys) -> None:
    with structlog.testing.capture_logs() as logged:
        fetched(keys)
        source.is_down = True
        source.seconds += 1
        for _ in range(10):
            refusal(keys)
        source.is_down, source.keys = False, NEW
        source.seconds += 2
        fetched(keys)
    issuer = "https://idp.example.com"
    assert logged == [
        {"event": "oidc.keys_changed", "log_level": "info", "issuer": issuer, "added": ["old"], "withdrawn": []},
        {
            "event": "oidc.provider_unreachable",
            "log_level": "warning",
            "issuer": issuer,
            "problem": "it does not answer",
            "retry_seconds": 2.0,
        },
        {"event": "oidc.keys_changed", "log_level": "info", "issuer": issuer, "added": ["new"], "withdrawn": ["old"]},
    ]
