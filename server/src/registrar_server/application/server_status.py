"""What the server tells about itself."""

from __future__ import annotations

from dataclasses import dataclass

from registrar_server.application.event_tail import EventTail
from registrar_server.application.ports.database import Database, MirrorProgress
from registrar_server.application.reply_cache import ReplyCache


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What does not change while the server runs."""

    version: str
    artifact_root: str
    transfer_slots: int
    cache_ttl_seconds: float = 0.0
    bulk_endpoint: str = ""
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """How people log in. An empty issuer or client id: they cannot by OIDC; `oidc_audience` is for providers who ask."""

    is_authentication_required: bool = False
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_scopes: tuple[str, ...] = ()
    oidc_audience: str = ""


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """How far this process's cache follows."""

    entries: int
    position: int
    seconds_behind: float
    is_degraded: bool


class ServerStatus:
    """What does change."""

    def __init__(self, database: Database, replies: ReplyCache, tail: EventTail) -> None:
        self._database = database
        self._replies = replies
        self._tail = tail

    def mirror_progress(self) -> MirrorProgress:
        """How far MLflow follows."""
        with self._database.reading() as transaction:
            return transaction.mirror.progress()

    def cache(self) -> CacheStatus:
        """How far the cache follows."""
        tail = self._tail
        return CacheStatus(self._replies.entries, self._replies.position, tail.seconds_behind, tail.is_degraded)
