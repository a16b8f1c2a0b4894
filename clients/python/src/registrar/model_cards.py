"""The part of `Registry` that keeps model cards."""

from __future__ import annotations

from registrar.calls import cards as calls
from registrar.methods import Calls, listing, unary


class ModelCardCalls(Calls):
    """Model cards."""

    card = unary(calls.card)
    card_revisions = listing(calls.card_revisions)
    update_card = unary(calls.update_card)
    render_card = unary(calls.render_card)
    parse_card = unary(calls.parse_card)
