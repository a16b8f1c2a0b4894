"""Count the streams of tenants that may have only so many at once, in all processes together.

Each stream of such a tenant has a row with an end, which is put off while the stream lives: what a process that died had
under way is not counted for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import structlog

from registrar_server.application.ports.clock import Clock, new_uid
from registrar_server.application.ports.database import Database
from registrar_server.application.quotas import Quota, quota_exceeded
from registrar_server.domain.errors import RegistrarError

_log = structlog.get_logger()

_LEASE_SECONDS = 60.0
_KEEP_SECONDS = 15.0


class Transfers:
    """Thread-safe. `changes` grows whenever a tenant may have changed; see `Authentication`."""

    def __init__(self, database: Database, clock: Clock, changes: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock
        self._changes = changes
        self._limits: tuple[int, Mapping[str, int]] = (0, {})
        self._under_way: set[str] = set()
        self._kept = time.monotonic()

    @contextmanager
    def counted(self, tenant: str) -> Iterator[None]:
        """Around one stream; QUOTA_EXCEEDED. Costs nothing where the tenant has no such quota."""
        limit = self._limit(tenant)
        if limit is None:
            yield
            return
        transfer_id, now = new_uid(), self._clock.now()
        until = now + timedelta(seconds=_LEASE_SECONDS)
        with self._database.writing() as transaction:
            is_begun = transaction.tenants.begin_transfer(transfer_id, tenant, until=until, now=now, limit=limit)
        if not is_begun:
            raise quota_exceeded(tenant, Quota.CONCURRENT_TRANSFERS, limit, used=limit + 1)
        self._under_way.add(transfer_id)
        try:
            yield
        finally:
            self._under_way.discard(transfer_id)
            self._end(transfer_id)

    def keep(self) -> None:
        """Put off the end of what is under way; to be called often."""
        now = time.monotonic()
        if not self._under_way or now - self._kept < _KEEP_SECONDS:
            return
        self._kept = now
        until = self._clock.now() + timedelta(seconds=_LEASE_SECONDS)
        with self._database.writing() as transaction:
            transaction.tenants.keep_transfers(tuple(self._under_way), until=until)

    def _end(self, transfer_id: str) -> None:
        try:
            with self._database.writing() as transaction:
                transaction.tenants.end_transfer(transfer_id)
        except RegistrarError as exc:
            # The stream is over whatever the database says; its row ends by itself.
            _log.warning("transfer.not_counted_out", reason=exc.reason.value)

    def _limit(self, tenant: str) -> int | None:
        changes, limits = self._limits
        if changes != self._changes():
            changes = self._changes()
            with self._database.reading() as transaction:
                limits = transaction.tenants.transfer_limits()
            self._limits = changes, limits
        return limits.get(tenant)
