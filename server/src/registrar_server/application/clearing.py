"""Clear away what nobody will finish: abandoned uploads, old request ids."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import BundleClaim, Database
from registrar_server.domain.errors import RegistrarError

_log = structlog.get_logger()

REQUEST_ID_DAYS = 7
"""How long a request id is remembered."""
_LEASE_SECONDS = 600
_PAUSE_SECONDS = 10
_FORGET_SECONDS = 60
_AT_ONCE = 10


class Clearing:
    """Clears abandoned uploads. A claim is marked first, so that nobody joins a bundle that is being removed."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._forget_at = clock.now()

    def work(self) -> int:
        """Clear what is due; how many uploads were cleared."""
        now = self._clock.now()
        lease = now + timedelta(seconds=_LEASE_SECONDS)
        with self._database.reading() as transaction:
            # Every wake-up of the background comes by here.
            if now < self._forget_at and not transaction.bundles.is_any_abandoned(now):
                return 0
        self._forget_at = now + timedelta(seconds=_FORGET_SECONDS)
        with self._database.writing() as transaction:
            transaction.requests.forget_before(now - timedelta(days=REQUEST_ID_DAYS))
            claims = transaction.bundles.lease_abandoned(now=now, until=lease, limit=_AT_ONCE)
        return sum(self._clear(claim, _Lease(self._database, self._clock, claim, lease)) for claim in claims)

    def _clear(self, claim: BundleClaim, lease: _Lease) -> bool:
        """Whether it is cleared; what fails is taken up again after a pause, and holds up no other."""
        try:
            lease.keep()
            self._store.delete_prefix(f"{claim.prefix}/", on_progress=lease.keep)
            with self._database.writing() as transaction:
                is_cleared = transaction.bundles.forget(claim.uid, lease=lease.until)
        except _LeaseLost:
            is_cleared = False
        except RegistrarError as exc:
            _log.warning("upload.not_cleared", bundle_uid=claim.uid, reason=exc.reason.value)
            lease.release()
            return False
        _log.info("upload.cleared" if is_cleared else "upload.clearing_lost", bundle_uid=claim.uid)
        return is_cleared


class _LeaseLost(Exception):
    """Another replica has taken the clearing over: it slept here for longer than its lease."""


class _Lease:
    """The right to clear one claim. Asked for before every request that deletes: the bundle may be written again."""

    def __init__(self, database: Database, clock: Clock, claim: BundleClaim, until: datetime) -> None:
        self.until = until
        self._database = database
        self._clock = clock
        self._claim = claim

    def keep(self) -> None:
        """Prolong it when half of it is gone; raises when it is lost."""
        now = self._clock.now()
        if self.until - now > timedelta(seconds=_LEASE_SECONDS / 2):
            return
        until = now + timedelta(seconds=_LEASE_SECONDS)
        with self._database.writing() as transaction:
            if not transaction.bundles.keep_clearing(self._claim.uid, lease=self.until, until=until):
                raise _LeaseLost
        self.until = until

    def release(self) -> None:
        """Let it be taken up again after a pause. Never raises."""
        until = self._clock.now() + timedelta(seconds=_PAUSE_SECONDS)
        with suppress(RegistrarError), self._database.writing() as transaction:
            transaction.bundles.release_clearing(self._claim.uid, lease=self.until, until=until)
