"""Policies: create, read, list, revisions, update, delete, test."""

# ruff: noqa: PT028  (`test_policy` is a call, and no test)

from __future__ import annotations

from collections.abc import Sequence

from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import AnyModelRef, CallContext
from registrar.convert.policies import (
    policy_from_proto,
    policy_to_proto,
    rules_to_proto,
    scope_to_proto,
    trials_from_proto,
)
from registrar.errors import InvalidArgument
from registrar.policy_types import Policy, PolicyRules, PolicyScope, PolicyTest
from registrar.v1 import lifecycle_service_pb2 as pb


def create_policy(
    context: CallContext,
    name: str,
    *,
    scope: PolicyScope,
    rules: PolicyRules,
    description: str = "",
    tenant: str = "",
    validate_only: bool = False,
    request_id: str | None = None,
) -> Call[Policy]:
    """Write the first revision of a policy; it holds from the answer on. `tenant` EVERYWHERE: in all of them.

    With `validate_only` nothing changes. Errors: AlreadyExists, also for the name of a deleted policy; InvalidArgument,
    PermissionDenied.
    """
    request = pb.CreatePolicyRequest(
        request_id="" if validate_only else request_id or new_request_id(),
        tenant=tenant or context.tenant,
        name=name,
        description=description,
        scope=scope_to_proto(scope),
        rules=rules_to_proto(rules),
        validate_only=validate_only,
    )
    if validate_only:
        return Call(context.lifecycle.CreatePolicy, request, lambda response: policy_from_proto(response.policy))
    return change(context, context.lifecycle.CreatePolicy, request, lambda response: policy_from_proto(response.policy))


def policy(context: CallContext, name: str, *, revision: int | None = None, tenant: str = "") -> Call[Policy]:
    """Read a policy, as it is or as one of its revisions was, also after its deletion. Errors: NotFound."""
    request = pb.GetPolicyRequest(tenant=tenant or context.tenant, name=name, revision=revision or 0)
    return Call(context.lifecycle.GetPolicy, request, lambda response: policy_from_proto(response.policy))


def policies(
    context: CallContext,
    *,
    model: AnyModelRef | None = None,
    show_deleted: bool = False,
    tenant: str = "",
    page_size: int = 0,
) -> Listing[Policy]:
    """The policies that hold in a tenant, by name: its own, and those of all tenants; pages are fetched on the way.

    With a model, only those that are about its moves. Errors: NotFound when there is no such tenant.
    """
    ref = None if model is None else context.model_ref(model)
    request = pb.ListPoliciesRequest(
        tenant=tenant or (ref.tenant if ref else "") or context.tenant,
        model=ref.name if ref else "",
        show_deleted=show_deleted,
        page_size=page_size,
    )
    return Listing(context.lifecycle.ListPolicies, request, lambda page: map(policy_from_proto, page.policies))


def policy_revisions(context: CallContext, name: str, *, tenant: str = "", page_size: int = 0) -> Listing[Policy]:
    """What a policy has said, the newest first; pages are fetched as they are consumed. Errors: NotFound."""
    request = pb.ListPolicyRevisionsRequest(tenant=tenant or context.tenant, name=name, page_size=page_size)
    return Listing(context.lifecycle.ListPolicyRevisions, request, lambda page: map(policy_from_proto, page.policies))


def update_policy(
    context: CallContext,
    name: str,
    *,
    scope: PolicyScope | None = None,
    rules: PolicyRules | None = None,
    description: str | None = None,
    etag: str = "",
    tenant: str = "",
    validate_only: bool = False,
    request_id: str | None = None,
) -> Call[Policy]:
    """Write another revision of a policy: what is not None replaces what was, as a whole.

    Approvals that were given under the revision before no longer count. What changes nothing makes no revision. With
    `validate_only` nothing changes. Errors: NotFound, Aborted when the etag is old, InvalidArgument, PermissionDenied.
    """
    request = pb.UpdatePolicyRequest(
        request_id="" if validate_only else request_id or new_request_id(),
        tenant=tenant or context.tenant,
        name=name,
        etag=etag,
        description=description,
        scope=None if scope is None else scope_to_proto(scope),
        rules=None if rules is None else rules_to_proto(rules),
        validate_only=validate_only,
    )
    if validate_only:
        return Call(context.lifecycle.UpdatePolicy, request, lambda response: policy_from_proto(response.policy))
    return change(context, context.lifecycle.UpdatePolicy, request, lambda response: policy_from_proto(response.policy))


def delete_policy(
    context: CallContext, name: str, *, etag: str = "", tenant: str = "", request_id: str | None = None
) -> Call[Policy]:
    """End a policy; its revisions stay readable. Errors: NotFound, Aborted when the etag is old, PermissionDenied."""
    request = pb.DeletePolicyRequest(
        request_id=request_id or new_request_id(), tenant=tenant or context.tenant, name=name, etag=etag
    )
    return change(context, context.lifecycle.DeletePolicy, request, lambda response: policy_from_proto(response.policy))


def test_policy(
    context: CallContext,
    policy: str | Policy,
    *,
    model: AnyModelRef | None = None,
    versions: Sequence[int] = (),
    newest: int = 0,
    tenant: str = "",
) -> Call[PolicyTest]:
    """Say which versions would pass a policy, by name or a draft of one, and why the others would not. Changes nothing.

    Looked at are the `versions` of a model, or the `newest` ones (10 unless given) of each model that the scope covers. One
    that went to the target before is measured against the one that it displaced then. Approvals are not asked for.
    Errors: NotFound, InvalidArgument, PermissionDenied.
    """
    if versions and model is None:
        raise InvalidArgument("versions are numbers of a model's: name the model", reason="INVALID_FIELD")
    ref = None if model is None else context.model_ref(model)
    request = pb.TestPolicyRequest(
        tenant=tenant or (ref.tenant if ref else "") or context.tenant,
        model=ref.name if ref else "",
        versions=versions,
        newest=newest,
    )
    if isinstance(policy, Policy):
        request.draft.CopyFrom(policy_to_proto(policy))
    else:
        request.name = policy
    return Call(context.lifecycle.TestPolicy, request, trials_from_proto)
