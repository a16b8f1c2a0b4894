"""The part of `Registry` that keeps models."""

from __future__ import annotations

from registrar.calls import models as calls
from registrar.methods import Calls, listing, unary


class ModelCalls(Calls):
    """Models: create, read, list, update, delete, undelete."""

    create_model = unary(calls.create_model)
    model = unary(calls.model)
    models = listing(calls.models)
    update_model = unary(calls.update_model)
    delete_model = unary(calls.delete_model)
    undelete_model = unary(calls.undelete_model)
