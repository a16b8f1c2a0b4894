"""Refuse what a caller may not do, and tell no more than it may know.

Who may not read a model is told that there is none, who has no role in a tenant that there is no such tenant: both
without asking the database, so that neither words nor time tell what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registrar_server.domain.access import ANYTHING, EVERYWHERE, Caller, Right, Target
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey


def model_not_found(key: ModelKey) -> RegistrarError:
    """One answer for absent, reserved and what the caller may not know of: nothing can be guessed from it."""
    return RegistrarError(
        Reason.MODEL_NOT_FOUND, f"there is no model {key.name}", metadata={"tenant": key.tenant, "model": key.name}
    )


def tenant_not_found(tenant: str) -> RegistrarError:
    """One answer for absent, deleted, and what the caller may not know of."""
    return RegistrarError(Reason.TENANT_NOT_FOUND, f"there is no tenant {tenant}", metadata={"tenant": tenant})


def require_right(caller: Caller, right: Right, model: ModelKey, target: Target = ANYTHING) -> None:
    """TENANT_NOT_FOUND, MODEL_NOT_FOUND or PERMISSION_DENIED, as much as the caller may know."""
    access = caller.access
    if access.may(right, model.tenant, model.name, target):
        return
    require_visible(caller, model.tenant)
    if not access.may(Right.READ, model.tenant, model.name):
        raise model_not_found(model)
    raise _denied(caller, right, model.tenant, model.name, target)


def require_one_right(caller: Caller, rights: Sequence[Right], model: ModelKey) -> None:
    """One of several rights on a model that the caller may read, be it a part of it; PERMISSION_DENIED names them all."""
    if not any(caller.access.may(right, model.tenant, model.name) for right in rights):
        said = " or ".join(right.value.replace("_", " ") for right in rights)
        raise RegistrarError(
            Reason.PERMISSION_DENIED,
            f"{caller.actor} lacks the right to {said} on model {model.name} of tenant {model.tenant}",
            metadata={
                "right": ",".join(right.value for right in rights),
                "tenant": model.tenant,
                "model": model.name,
            },
        )


def require_visible(caller: Caller, tenant: str) -> None:
    """TENANT_NOT_FOUND to whoever has no role there."""
    if not caller.access.sees(tenant):
        raise tenant_not_found(tenant)


def require_right_somewhere(caller: Caller, right: Right, tenant: str) -> None:
    """The right on any model of a tenant; TENANT_NOT_FOUND, PERMISSION_DENIED."""
    require_visible(caller, tenant)
    if not caller.access.models(right, tenant):
        raise _denied(caller, right, tenant)


def require_right_anywhere(caller: Caller, right: Right) -> None:
    """The right on any model of any tenant; PERMISSION_DENIED."""
    if not any(grant.right is right for held in caller.access.held for grant in held.grants):
        raise _denied(caller, right, caller.tenant)


def require_right_in_tenant(caller: Caller, right: Right, tenant: str) -> None:
    """The right in a tenant as a whole; TENANT_NOT_FOUND, PERMISSION_DENIED."""
    if tenant == EVERYWHERE:
        return require_right_everywhere(caller, right)
    if not caller.access.may_in_tenant(right, tenant):
        require_visible(caller, tenant)
        raise _denied(caller, right, tenant)
    return None


def require_right_everywhere(caller: Caller, right: Right) -> None:
    """The right in all tenants; PERMISSION_DENIED."""
    if not caller.access.may_everywhere(right):
        raise _denied(caller, right, EVERYWHERE)


@dataclass(frozen=True, slots=True)
class Permit:
    """The right that a call needs of its caller, carried to where it is known which model the call is about."""

    caller: Caller
    right: Right
    tenant: str

    def admits(self, model: ModelKey) -> bool:
        """Whether what was found may be used; False: it must look as if it were not there.

        PERMISSION_DENIED for a model of the tenant that the caller may read, and has not the right on.
        """
        access = self.caller.access
        if model.tenant != self.tenant:
            return False
        if access.may(self.right, model.tenant, model.name):
            return True
        if not access.may(Right.READ, model.tenant, model.name):
            return False
        raise _denied(self.caller, self.right, model.tenant, model.name)


def _denied(caller: Caller, right: Right, tenant: str, model: str = "", target: Target = ANYTHING) -> RegistrarError:
    metadata = {"right": right.value, "tenant": tenant}
    what = f"the right to {right.value.replace('_', ' ')}"
    if target.stage is not None:
        metadata["stage"] = target.stage.value
        what += f" to or from {target.stage.value}"
    if target.alias:
        metadata["alias"] = target.alias
        what += f" {target.alias}"
    if target.approver_role:
        metadata["approver_role"] = target.approver_role
        what += f" as {target.approver_role}"
    if model:
        metadata["model"] = model
        where = f"on model {model} of tenant {tenant}"
    else:
        where = "in all tenants" if tenant == EVERYWHERE else f"in tenant {tenant}"
    return RegistrarError(Reason.PERMISSION_DENIED, f"{caller.actor} lacks {what} {where}", metadata=metadata)
