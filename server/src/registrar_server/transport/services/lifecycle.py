"""LifecycleService."""

from __future__ import annotations

from registrar_server.application.governance.governance import Governance
from registrar_server.application.lifecycle import Lifecycle
from registrar_server.transport.services.approvals import ApprovalRpcs
from registrar_server.transport.services.policies import PolicyRpcs
from registrar_server.transport.services.reviews import ReviewRpcs
from registrar_server.transport.services.transitions import TransitionRpcs
from registrar_server.transport.streams import Slots


class LifecycleServicer(TransitionRpcs, PolicyRpcs, ApprovalRpcs, ReviewRpcs):
    """Moves, the policies that they are under, and what those ask for."""

    def __init__(self, lifecycle: Lifecycle, governance: Governance, downloads: Slots) -> None:
        TransitionRpcs.__init__(self, lifecycle, downloads)
        PolicyRpcs.__init__(self, governance.policies, governance.trials)
        ApprovalRpcs.__init__(self, governance.approvals)
        ReviewRpcs.__init__(self, governance.reviews)
