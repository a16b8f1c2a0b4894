"""A connection that can be exchanged for a new one."""

from __future__ import annotations

import threading

from registrar.connection import Connection


class Line:
    """A connection to where `connection` leads: that one itself unless `is_own`, until it stands still. Thread-safe.

    A connection whose other end has gone without a word is found dead by gRPC only after its keepalive, and until then every
    new call would go down the same way.
    """

    def __init__(self, connection: Connection, *, is_own: bool = False) -> None:
        self._given = connection
        self._is_own = is_own
        self._own: Connection | None = None
        self._lock = threading.Lock()

    @property
    def connection(self) -> Connection:
        """The connection to use now; one of its own is opened when it is needed first."""
        with self._lock:
            if self._is_own and self._own is None:
                self._own = self._given.to_endpoint(self._given.target)
            return self._own or self._given

    def exchange(self, dead: Connection) -> None:
        """Go on over a new connection, unless `dead` has been exchanged already; the calls of an own one end."""
        with self._lock:
            if dead is not (self._own or self._given):
                return
            self._is_own = True
            self._own = None
        if dead is not self._given:
            dead.close()

    def close(self) -> None:
        """Close the connection, unless it is the given one."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            own.close()
