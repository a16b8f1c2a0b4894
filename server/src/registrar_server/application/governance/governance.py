"""All use cases of governance together."""

from __future__ import annotations

from dataclasses import dataclass

from registrar_server.application.governance.approvals import Approvals
from registrar_server.application.governance.policies import Policies
from registrar_server.application.governance.reviews import Reviews
from registrar_server.application.governance.trials import Trials
from registrar_server.application.mutations import Mutations
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database


@dataclass(frozen=True, slots=True)
class Governance:
    """What LifecycleService calls beyond the moves themselves."""

    policies: Policies
    trials: Trials
    approvals: Approvals
    reviews: Reviews

    @classmethod
    def on(cls, database: Database, mutations: Mutations, clock: Clock) -> Governance:
        """The use cases on a database."""
        return cls(
            policies=Policies(database, mutations),
            trials=Trials(database, clock),
            approvals=Approvals(database, mutations, clock),
            reviews=Reviews(database, mutations),
        )
