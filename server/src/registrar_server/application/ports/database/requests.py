"""Answers by request id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a request id stands for: the digest of its body, and the answer or the version being registered."""

    body_digest: str
    answer: bytes | None
    version_uid: str | None


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Whose request id it is: an id means nothing to another tenant, caller or RPC."""

    tenant: str
    actor: str
    rpc: str
    request_id: str


class RequestRecords(Protocol):
    """Answers by request id."""

    def claim(
        self, key: RequestKey, body_digest: str, *, version_uid: str | None, time: datetime
    ) -> StoredAnswer | None:
        """Take the id; what it already stands for, when it is taken."""

    def find(self, key: RequestKey) -> StoredAnswer | None:
        """What the id stands for."""

    def answer(self, key: RequestKey, answer: bytes) -> None:
        """Store the answer, unless there is one."""

    def forget_before(self, time: datetime) -> None:
        """Drop ids older than this."""
