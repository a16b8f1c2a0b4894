"""A notice that signals give, however many come and wherever they find the thread that waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from registrar_server.stopping import Notice

WAITS = """
import signal, sys
from registrar_server.stopping import Notice
heard, stop = Notice(), Notice()
signal.signal(signal.SIGUSR1, lambda *_: heard.set())
signal.signal(signal.SIGTERM, lambda *_: stop.set())
print("ready", flush=True)
while not stop.is_set():
    heard.wait(0.0001)
    heard.clear()
    stop.wait(0.0001)
"""


def test_signals_in_a_row_find_nobody_stuck() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for _ in range(1_000):
            os.kill(process.pid, signal.SIGUSR1)
        process.terminate()
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_it_is_known_until_it_is_cleared() -> None:
    notice = Notice()
    assert not notice.wait(0.0)
    notice.set()
    notice.set()
    assert all((notice.wait(), notice.wait(0.0), notice.is_set()))
    notice.clear()
    assert not notice.wait(0.0)


def test_a_thread_may_give_it() -> None:
    notice = Notice()
    threading.Timer(0.01, notice.set).start()
    assert notice.wait(60)
