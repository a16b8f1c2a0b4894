"""Time and identity, from outside so that tests can give them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """The time, aware, in UTC, to the microsecond."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """See the port."""
        return datetime.now(UTC)


def new_uid() -> str:
    """A new identity: 32 hex digits."""
    return uuid.uuid4().hex
