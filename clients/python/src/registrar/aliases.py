"""The part of `Registry` that moves aliases."""

from __future__ import annotations

from registrar.calls import aliases as calls
from registrar.methods import Calls, listing, unary


class AliasCalls(Calls):
    """Aliases: set, delete, history."""

    set_alias = unary(calls.set_alias)
    delete_alias = unary(calls.delete_alias)
    alias_history = listing(calls.alias_history)
