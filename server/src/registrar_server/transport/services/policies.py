"""The RPCs of LifecycleService about policies."""

from __future__ import annotations

import grpc

from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import lifecycle_service_pb2_grpc
from registrar_server.application.governance.policies import NewPolicy, Policies, PolicyChanged, PolicyUpdate
from registrar_server.application.governance.trials import Trial, TrialRequest, Trials
from registrar_server.domain import limits
from registrar_server.domain.policy_validation import check_policy_name, check_size
from registrar_server.domain.validation import Checker, checking
from registrar_server.domain.values import Stage
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.access import scope_from_proto
from registrar_server.transport.convert.policies import (
    failed_gate_to_proto,
    policy_rules_from_proto,
    policy_scope_from_proto,
    policy_to_proto,
)
from registrar_server.transport.convert.references import stage_to_proto, tenant_from_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size

_NEWEST = 10
_NEWEST_MAXIMUM = 100


class PolicyRpcs(lifecycle_service_pb2_grpc.LifecycleServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, policies: Policies, trials: Trials) -> None:
        self._policies = policies
        self._trials = trials

    def CreatePolicy(self, request: pb.CreatePolicyRequest, context: grpc.ServicerContext) -> pb.CreatePolicyResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            new = NewPolicy(
                tenant=scope_from_proto(check, "tenant", request.tenant, current_caller()),
                name=check_policy_name(check, "name", request.name),
                description=check.text("description", request.description, limits.NOTE_CHARACTERS),
                scope=policy_scope_from_proto(check, "scope", request.scope),
                rules=policy_rules_from_proto(check, "rules", request.rules),
            )
            check_size(check, "rules", new.scope, new.rules)
        mutation = mutation_of(request, request.request_id, _created)
        answer = self._policies.create(mutation, new, is_validate_only=request.validate_only)
        return pb.CreatePolicyResponse.FromString(answer)

    def GetPolicy(self, request: pb.GetPolicyRequest, context: grpc.ServicerContext) -> pb.GetPolicyResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            name = check_policy_name(check, "name", request.name)
            if request.revision < 0:
                check.fail("revision", "must not be negative")
        return pb.GetPolicyResponse(policy=policy_to_proto(self._policies.get(tenant, name, request.revision)))

    def ListPolicies(self, request: pb.ListPoliciesRequest, context: grpc.ServicerContext) -> pb.ListPoliciesResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            model = check.model_name("model", request.model) if request.model else ""
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int, str)
        after = (int(token[0]), str(token[1])) if token else (0, "")
        found = self._policies.list(
            tenant, model=model, after=after, limit=size + 1, is_deleted_shown=request.show_deleted
        )
        response = pb.ListPoliciesResponse(policies=[policy_to_proto(policy) for _, policy in found[:size]])
        if len(found) > size:
            kind, last = found[size - 1]
            response.next_page_token = encode_token(request, [kind, last.name])
        return response

    def ListPolicyRevisions(
        self, request: pb.ListPolicyRevisionsRequest, context: grpc.ServicerContext
    ) -> pb.ListPolicyRevisionsResponse:
        """See the contract."""
        with checking() as check:
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            name = check_policy_name(check, "name", request.name)
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int)
        before = int(token[0]) if token else 0
        found = self._policies.revisions(tenant, name, before=before, limit=size + 1)
        response = pb.ListPolicyRevisionsResponse(policies=map(policy_to_proto, found[:size]))
        if len(found) > size:
            response.next_page_token = encode_token(request, [found[size - 1].revision])
        return response

    def UpdatePolicy(self, request: pb.UpdatePolicyRequest, context: grpc.ServicerContext) -> pb.UpdatePolicyResponse:
        """See the contract."""
        has = request.HasField
        with checking() as check:
            check.request_id("request_id", request.request_id)
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            name = check_policy_name(check, "name", request.name)
            description = check.text("description", request.description, limits.NOTE_CHARACTERS)
            wanted = PolicyUpdate(
                description=description if has("description") else None,
                scope=policy_scope_from_proto(check, "scope", request.scope) if has("scope") else None,
                rules=policy_rules_from_proto(check, "rules", request.rules) if has("rules") else None,
            )
        mutation = mutation_of(request, request.request_id, _updated)
        answer = self._policies.update(
            mutation, tenant, name, etag=request.etag, wanted=wanted, is_validate_only=request.validate_only
        )
        return pb.UpdatePolicyResponse.FromString(answer)

    def DeletePolicy(self, request: pb.DeletePolicyRequest, context: grpc.ServicerContext) -> pb.DeletePolicyResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            tenant = scope_from_proto(check, "tenant", request.tenant, current_caller())
            name = check_policy_name(check, "name", request.name)
        mutation = mutation_of(request, request.request_id, _deleted)
        return pb.DeletePolicyResponse.FromString(self._policies.delete(mutation, tenant, name, etag=request.etag))

    def TestPolicy(self, request: pb.TestPolicyRequest, context: grpc.ServicerContext) -> pb.TestPolicyResponse:
        """See the contract."""
        with checking() as check:
            wanted = _trial_from_proto(check, request)
        found = self._trials.run(wanted)
        return pb.TestPolicyResponse(trials=map(_trial_to_proto, found.trials), is_truncated=found.is_truncated)


def _created(changed: PolicyChanged) -> pb.CreatePolicyResponse:
    return pb.CreatePolicyResponse(policy=policy_to_proto(changed.policy), event_sequence=changed.sequence)


def _updated(changed: PolicyChanged) -> pb.UpdatePolicyResponse:
    return pb.UpdatePolicyResponse(policy=policy_to_proto(changed.policy), event_sequence=changed.sequence)


def _deleted(changed: PolicyChanged) -> pb.DeletePolicyResponse:
    return pb.DeletePolicyResponse(policy=policy_to_proto(changed.policy), event_sequence=changed.sequence)


def _trial_from_proto(check: Checker, request: pb.TestPolicyRequest) -> TrialRequest:
    name, draft = "", None
    match request.WhichOneof("subject"):
        case "name":
            name = check_policy_name(check, "name", request.name)
        case "draft":
            scope = policy_scope_from_proto(check, "draft.scope", request.draft.scope)
            rules = policy_rules_from_proto(check, "draft.rules", request.draft.rules)
            check_size(check, "draft.rules", scope, rules)
            draft = scope, rules
        case None:
            check.fail("subject", "must be the name of a policy, or a draft")
    check.count("versions", request.versions, _NEWEST_MAXIMUM)
    check.unique("versions", request.versions)
    for index, number in enumerate(request.versions):
        if number < 1:
            check.fail(f"versions[{index}]", "must be at least 1")
    if request.versions and not request.model:
        check.fail("model", "is required with versions")
    if not 0 <= request.newest <= _NEWEST_MAXIMUM:
        check.fail("newest", f"must be from 0 to {_NEWEST_MAXIMUM}")
    return TrialRequest(
        tenant=tenant_from_proto(check, "tenant", request.tenant, current_caller()),
        name=name,
        draft=draft,
        model=check.model_name("model", request.model) if request.model else "",
        numbers=tuple(request.versions),
        newest=request.newest or _NEWEST,
    )


def _trial_to_proto(trial: Trial) -> pb.PolicyTrial:
    message = pb.PolicyTrial(
        model=trial.model,
        version=trial.number,
        is_covered=trial.is_covered,
        failed_gates=map(failed_gate_to_proto, trial.failed),
        compared_with=trial.compared_with,
        was_there=trial.was_there,
    )
    if isinstance(trial.target, Stage):
        message.stage = stage_to_proto(trial.target)
    else:
        message.alias_pattern = trial.target.text
    return message
