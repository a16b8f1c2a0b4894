"""Tell MLflow of tenants that it does not know yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database
from registrar_server.application.ports.mlflow_registry import MlflowRegistry
from registrar_server.domain.errors import RegistrarError

_log = structlog.get_logger()

_AT_ONCE = 100
_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Pause:
    """Until when a tenant is left alone after a failure, and how long that is."""

    until: datetime
    length: timedelta


class Provisioning:
    """Makes workspaces. A tenant without one can be used all the same: a registration makes it, if it comes first."""

    def __init__(self, database: Database, mlflow: MlflowRegistry, clock: Clock) -> None:
        self._database = database
        self._mlflow = mlflow
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}

    def work(self) -> bool:
        """Make the workspaces that are missing; whether any was made. One that fails is tried again later."""
        with self._database.reading() as transaction:
            missing = transaction.tenants.without_workspace(limit=_AT_ONCE)
        made = [self._provide(tenant) for tenant in missing if not self._is_paused(tenant)]
        return any(made)

    def _is_paused(self, tenant: str) -> bool:
        pause = self._pauses.get(tenant)
        return pause is not None and self._clock.now() < pause.until

    def _provide(self, tenant: str) -> bool:
        try:
            self._mlflow.ensure_tenant(tenant)
        except RegistrarError as exc:
            before = self._pauses.get(tenant)
            length = _PAUSE if before is None else min(2 * before.length, _LONGEST_PAUSE)
            self._pauses[tenant] = _Pause(self._clock.now() + length, length)
            retry_seconds = length.total_seconds()
            _log.warning("tenant.has_no_workspace", tenant=tenant, reason=exc.reason.value, retry_seconds=retry_seconds)
            return False
        with self._database.writing() as transaction:
            transaction.tenants.set_workspace(tenant, time=self._clock.now())
        self._pauses.pop(tenant, None)
        _log.info("tenant.has_workspace", tenant=tenant)
        return True
