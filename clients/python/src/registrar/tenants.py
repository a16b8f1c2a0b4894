"""The part of `Registry` that keeps tenants."""

from __future__ import annotations

from registrar.calls import tenants as calls
from registrar.methods import Calls, listing, unary


class TenantCalls(Calls):
    """Tenants: create, read, list, update, suspend, resume, delete, undelete."""

    create_tenant = unary(calls.create_tenant)
    get_tenant = unary(calls.get_tenant)
    tenants = listing(calls.tenants)
    update_tenant = unary(calls.update_tenant)
    suspend_tenant = unary(calls.suspend_tenant)
    resume_tenant = unary(calls.resume_tenant)
    delete_tenant = unary(calls.delete_tenant)
    undelete_tenant = unary(calls.undelete_tenant)
