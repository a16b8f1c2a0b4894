"""The part of `Registry` that knows what comes from what, and what has to be known."""

from __future__ import annotations

from registrar.calls import lineage as calls
from registrar.methods import Calls, unary


class LineageCalls(Calls):
    """Lineage, and metadata schemas."""

    lineage = unary(calls.lineage)
    metadata_schema = unary(calls.metadata_schema)
    update_metadata_schema = unary(calls.update_metadata_schema)
