"""Signals between the processes of one machine: datagrams on Unix sockets in a run directory.

A datagram needs no connection, is never half received, and is lost without harm. Each worker has a socket of its own;
the background process has one with a known name.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_BACKGROUND = "background.sock"
_WORKER = "worker-"
_DATAGRAM_BYTES = 256


class WorkerSignals:
    """A worker's side of the port `Signals`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = {}
        self._socket = _open_socket(directory / f"{_WORKER}{os.getpid()}.sock")
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()

    def wake_background(self) -> None:
        """See the port."""
        _send(self._socket, self._directory / _BACKGROUND, b"work")

    def announce_done(self, version_uid: str) -> None:
        """See the port. A worker ends no registrations."""

    @contextlib.contextmanager
    def listening(self, version_uid: str) -> Iterator[Callable[[float], None]]:
        """See the port."""
        event = threading.Event()
        with self._lock:
            self._waiting.setdefault(version_uid, set()).add(event)

        def wait(timeout_seconds: float) -> None:
            event.wait(timeout_seconds)
            event.clear()

        try:
            yield wait
        finally:
            with self._lock:
                waiting = self._waiting[version_uid]
                waiting.discard(event)
                if not waiting:
                    del self._waiting[version_uid]

    def close(self) -> None:
        """Stop listening."""
        _close_socket(self._socket)

    def _listen(self) -> None:
        while True:
            try:
                uid = self._socket.recv(_DATAGRAM_BYTES).decode("ascii", "replace")
            except OSError:
                return
            with self._lock:
                for event in self._waiting.get(uid, ()):
                    event.set()


class BackgroundSignals:
    """The background process's side of the port `Signals`, and its own waiting for work."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = _open_socket(directory / _BACKGROUND)

    def wake_background(self) -> None:
        """See the port: through the socket too, so that `wait_for_work` has one thing to wait for."""
        _send(self._socket, self._directory / _BACKGROUND, b"work")

    def announce_done(self, version_uid: str) -> None:
        """See the port."""
        for path in self._directory.glob(f"{_WORKER}*.sock"):
            _send(self._socket, path, version_uid.encode("ascii"))

    @contextlib.contextmanager
    def listening(self, version_uid: str) -> Iterator[Callable[[float], None]]:
        """See the port. The background process never waits for a registration."""
        yield time.sleep

    def wait_for_work(self, timeout_seconds: float) -> bool:
        """Whether it was woken, or the time-out passed; several wake-ups count as one."""
        self._socket.settimeout(max(timeout_seconds, 0.001))
        try:
            self._socket.recv(_DATAGRAM_BYTES)
        except TimeoutError:
            return False
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(_DATAGRAM_BYTES)
        return True

    def close(self) -> None:
        """Stop listening."""
        _close_socket(self._socket)


def _open_socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.bind(str(path))
    return opened


def _close_socket(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        Path(opened.getsockname()).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()


def _send(opened: socket.socket, path: Path, message: bytes) -> None:
    # Nobody there, or a full queue: whoever should have heard looks into the database by himself.
    with contextlib.suppress(OSError):
        opened.sendto(message, socket.MSG_DONTWAIT, str(path))
