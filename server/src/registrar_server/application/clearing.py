"""Clear away what nobody will finish: abandoned uploads, old request ids."""

from __future__ import annotations

from datetime import timedelta

import structlog

from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database

_log = structlog.get_logger()

REQUEST_ID_DAYS = 7
"""How long a request id is remembered."""
_LEASE_SECONDS = 600
_AT_ONCE = 10


class Clearing:
    """Clears abandoned uploads. A claim is marked first, so that nobody joins a bundle that is being removed."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock

    def work(self) -> int:
        """Clear what is due; how many uploads were cleared."""
        now = self._clock.now()
        with self._database.writing() as transaction:
            transaction.requests.forget_before(now - timedelta(days=REQUEST_ID_DAYS))
            claims = transaction.bundles.lease_abandoned(
                now=now, until=now + timedelta(seconds=_LEASE_SECONDS), limit=_AT_ONCE
            )
        for claim in claims:
            self._store.delete_prefix(f"{claim.prefix}/")
            with self._database.writing() as transaction:
                transaction.bundles.forget(claim.uid)
            _log.info("upload.cleared", bundle_uid=claim.uid)
        return len(claims)
