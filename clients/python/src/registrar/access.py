"""The part of `Registry` that keeps who may do what."""

from __future__ import annotations

from registrar.calls import access as calls
from registrar.methods import Calls, listing, unary


class AccessCalls(Calls):
    """Callers, roles, their bindings, tokens, sessions."""

    caller = unary(calls.caller)
    login_options = unary(calls.login_options)
    create_role = unary(calls.create_role)
    get_role = unary(calls.get_role)
    roles = listing(calls.roles)
    update_role = unary(calls.update_role)
    delete_role = unary(calls.delete_role)
    bind_role = unary(calls.bind_role)
    role_bindings = listing(calls.role_bindings)
    unbind_role = unary(calls.unbind_role)
    create_token = unary(calls.create_token)
    tokens = listing(calls.tokens)
    revoke_token = unary(calls.revoke_token)
    revoke_sessions = unary(calls.revoke_sessions)
