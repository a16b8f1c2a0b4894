"""Reading ahead of whoever reads: in order, bounded, and over when nobody reads any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from itertools import islice

import pytest

from registrar_server.adapters.minio_bundles.ahead import ReadAhead
from tests.fixtures.stores import wait_until


class Source:
    """Blocks of one byte; fails after the last one when it is told to."""

    def __init__(self, count: int, failure: Exception | None = None) -> None:
        self._count = count
        self._failure = failure
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self._count):
            self.given += 1
            yield bytes([number % 256])
        if self._failure is not None:
            raise self._failure


def is_given(source: Source, count: int) -> bool:
    return source.given >= count


def threads_ahead() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_blocks_come_in_order() -> None:
    ahead = ReadAhead(Source(1000))
    assert list(ahead) == [bytes([number % 256]) for number in range(1000)]
    ahead.close()


def test_a_failure_comes_after_the_blocks_before_it() -> None:
    ahead = ReadAhead(Source(5, LookupError()))
    blocks = iter(ahead)
    assert [next(blocks) for _ in range(5)] == [bytes([number]) for number in range(5)]
    with pytest.raises(LookupError):
        next(blocks)
    ahead.close()


def test_at_most_eight_blocks_are_held() -> None:
    source = Source(100)
    ahead = ReadAhead(source)
    for passed, _ in enumerate(ahead):
        wait_until(partial(is_given, source, min(100, passed + 8)), 10)
        assert source.given <= passed + 8
    ahead.close()


def test_closing_ends_a_thread_that_waits_for_the_reader() -> None:
    source = Source(100)
    ahead = ReadAhead(source)
    assert list(islice(ahead, 2)) == [b"\0", b"\1"]
    wait_until(lambda: source.given >= 9, 10)
    ahead.close()
    ahead.close()
    assert threads_ahead() == []
    assert source.given == 9


def test_closing_before_anything_was_read_starts_nothing() -> None:
    source = Source(100)
    ReadAhead(source).close()
    assert source.given == 0
