"""What the server tells about itself."""

from __future__ import annotations

from dataclasses import dataclass

from registrar_server.application.ports.database import Database, MirrorProgress


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What does not change while the server runs."""

    version: str
    artifact_root: str
    transfer_slots: int
    cache_ttl_seconds: float = 0.0
    bulk_endpoint: str = ""
    features: tuple[str, ...] = ()


class ServerStatus:
    """What does change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mirror_progress(self) -> MirrorProgress:
        """How far MLflow follows."""
        with self._database.reading() as transaction:
            return transaction.mirror.progress()
