"""What carries jobs, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from registrar.upload.plan import Job

OnSent = Callable[[int, int, int], None]
"""Called with file, offset and length of what was sent. What it raises ends the upload."""


class Lane(Protocol):
    """A way for jobs. `check` and `cancel` may be called from any thread."""

    def send(self, job: Job, on_sent: OnSent) -> None:
        """Send a job; all of it is durable when this returns.

        Errors: `grpc.RpcError`; Unavailable, of which TRANSFER_STALLED when nothing moved; InvalidArgument FILE_CHANGED;
        Cancelled.
        """

    def check(self) -> None:
        """End what goes on, if it stands still: `send` raises Unavailable."""

    def cancel(self) -> None:
        """End what goes on, and let nothing begin: `send` raises Cancelled."""

    def close(self) -> None:
        """Close what is the lane's own."""
