"""Replacing processes one by one, with real processes that come up, fail to, or do not end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from registrar_server.supervised import Child, Renewal
from tests.fixtures.stores import wait_until

READY = "import signal, sys, time; print('ready', flush=True); sys.stdin.read()"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
DYING = "raise SystemExit(3)"


class Stub(Child):
    """A child that runs a program of the test's instead of the server's."""

    def __init__(self, name: str, program: str, next_program: str = READY) -> None:
        super().__init__("worker", name)
        self.program, self.next_program = program, next_program

    def start(self) -> None:
        self.is_ready.clear()
        self.started_at = time.monotonic()
        command = [sys.executable, "-c", self.program]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def successor(self) -> Child:
        made.append(Stub(self.name, self.next_program))
        return made[-1]


made: list[Stub] = []


@pytest.fixture(autouse=True)
def _end_all() -> Iterator[None]:
    made.clear()
    yield
    for child in made:
        if child.process is not None:
            child.process.kill()
            child.process.wait()
            for pipe in (child.process.stdin, child.process.stdout):
                if pipe is not None:
                    pipe.close()


def started(*children: Stub) -> list[Child]:
    made.extend(children)
    for child in children:
        child.start()
    for child in children:
        assert child.is_ready.wait(20)
    return list(children)


def run(renewal: Renewal) -> None:
    renewal.begin()

    def is_done() -> bool:
        renewal.step()
        return not renewal.is_under_way

    wait_until(is_done, 30)


def is_running(child: Child) -> bool:
    return child.process is not None and child.process.poll() is None


def test_each_is_replaced_by_one_that_answers_before_it_is_told_to_end() -> None:
    before = started(Stub("worker-1", READY), Stub("worker-2", READY))
    servers, least, done = list(before), [len(before)], [0]

    def count() -> None:
        done[0] += 1

    renewal = Renewal(servers, 5.0, count)
    renewal.begin()

    def is_done() -> bool:
        renewal.step()
        least[0] = min(least[0], sum(1 for child in servers if child.is_ready.is_set() and is_running(child)))
        return not renewal.is_under_way

    wait_until(is_done, 30)
    assert [child.name for child in servers] == ["worker-1", "worker-2"]
    assert all(map(is_running, servers))
    assert not any(map(is_running, before))
    assert (least, done) == ([2], [1])


def test_where_a_successor_does_not_come_up_the_predecessor_stays_and_nothing_else_is_touched() -> None:
    before = started(Stub("worker-1", READY, DYING), Stub("worker-2", READY))
    servers = list(before)
    run(Renewal(servers, 5.0, lambda: None))
    assert servers == before
    assert all(map(is_running, servers))


def test_one_that_does_not_end_is_killed_when_its_time_is_up() -> None:
    before = started(Stub("worker-1", DEAF))
    servers = list(before)
    run(Renewal(servers, 0.2, lambda: None))
    assert not is_running(before[0])
    assert is_running(servers[0])


def test_it_can_be_done_again() -> None:
    servers = started(Stub("worker-1", READY))
    renewal = Renewal(servers, 5.0, lambda: None)
    run(renewal)
    middle = servers[0]
    run(renewal)
    assert servers[0] is not middle
    assert not is_running(middle)
