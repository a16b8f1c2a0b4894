"""The part of `Registry` that registers, resolves and compares versions."""

from __future__ import annotations

from registrar.calls import search as search_calls
from registrar.calls import versions as calls
from registrar.methods import Calls, listing, unary


class VersionCalls(Calls):
    """Versions: register, check, get, list, search, compare, update, delete, undelete."""

    register = unary(calls.register)
    check = unary(calls.check)
    get = unary(calls.get)
    versions = listing(calls.versions)
    search = listing(search_calls.search)
    compare = unary(calls.compare)
    update = unary(calls.update)
    delete = unary(calls.delete)
    undelete = unary(calls.undelete)
