"""The part of `Registry` that asks about the server itself."""

from __future__ import annotations

from registrar.calls import admin as calls
from registrar.methods import Calls, unary
from registrar.retry import Patience


class AdminCalls(Calls):
    """The server: what it says of itself, how far MLflow follows."""

    server_info = unary(calls.server_info)
    is_serving = unary(calls.is_serving)

    def wait_mirrored(self, sequence: int | None = None, *, timeout_seconds: float = 30.0) -> None:
        """Wait until MLflow has every change up to a sequence; None: up to the last one made through this object.

        Errors: DeadlineExceeded when it has not in time; the change itself stands all the same.
        """
        wanted = self._connection.sequence.value if sequence is None else sequence
        patience = Patience(timeout_seconds)
        while (mirrored := self.server_info().mirror.mirrored_sequence) < wanted:
            if not patience.wait(calls.MIRROR_POLL_SECONDS):
                raise calls.mirror_behind(mirrored, wanted)
