"""Clear away what nobody will finish: abandoned uploads, old request ids."""

from __future__ import annotations

from datetime import timedelta

import structlog

from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import BundleClaim, Database
from registrar_server.domain.errors import RegistrarError

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
        return sum(self._clear(claim) for claim in claims)

    def _clear(self, claim: BundleClaim) -> bool:
        """Whether it is cleared; what fails is taken up again when its lease is over, and holds up no other."""
        try:
            self._store.delete_prefix(f"{claim.prefix}/")
            with self._database.writing() as transaction:
                transaction.bundles.forget(claim.uid)
        except RegistrarError as exc:
            _log.warning("upload.not_cleared", bundle_uid=claim.uid, reason=exc.reason.value)
            return False
        _log.info("upload.cleared", bundle_uid=claim.uid)
        return True
